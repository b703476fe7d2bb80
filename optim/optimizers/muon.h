// Muon: orthogonalised momentum, for the matrices of hidden layers.
#pragma once

#include <weft/optim/optimizer.h>

#include <array>
#include <source_location>

namespace weft {

/// How the rate depends on the shape [A, B] of a parameter.
enum class MuonRate {
  original,         ///< times sqrt(max(1, A / B))
  match_rms_adamw,  ///< times 0.2 sqrt(max(A, B)): steps as long as AdamW's (Liu et al. 2025, eq. 4)
};

struct MuonConfig {
  Schedule rate = 1e-3;
  double weight_decay = 0.1;  ///< decoupled: p is shrunk
  double momentum = 0.95;
  bool nesterov = true;
  std::array<double, 3> ns_coefficients = {3.4445, -4.7750, 2.0315};
  double eps = 1e-7;
  int ns_steps = 5;
  MuonRate adjust_lr = MuonRate::original;
  /// The type to which the Newton-Schulz iteration rounds after every product; none: the parameter's dtype. PyTorch
  /// uses bf16.
  std::optional<DType> ns_dtype = std::nullopt;
  std::vector<ParameterGroup> groups = {};
};

/// torch.optim.Muon (Jordan 2024):
///   b <- b + (1 - momentum) (g - b);  u = nesterov ? g + momentum (b - g) : b
///   X = u / max(||u||, eps), transposed if A > B;  ns_steps times: G = X X^T, X <- a X + (b G + c G G) X
///   p <- p (1 - rate decay) - rate adjusted(A, B) X
/// State: momentum_buffer. UserError: a parameter that is not a matrix (give those, and embeddings, to adamw); ns_steps
/// outside [1, 100), momentum outside [0, 1), another setting negative.
Optimizer muon(const MuonConfig& config = {}, std::source_location where = std::source_location::current());

/// The Newton-Schulz iteration alone, for a matrix x [A, B]: approximately U V^T, where x = U S V^T is the singular
/// value decomposition.
Value orthogonalized(const Value& x, const MuonConfig& config = {});

}  // namespace weft
