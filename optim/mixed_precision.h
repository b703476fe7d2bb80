// Mixed precision as casts in the graph (torch.autocast): products in bf16 or f16, precision-sensitive ops in f32
// (Micikevicius et al. 2018, arXiv:1710.03740; Kalamkar et al. 2019, arXiv:1905.12322).
#pragma once

#include <weft/graph/step.h>

#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// Nodes whose path matches run in `dtype` whatever their op's policy says: f32 (as they were built) or the low type.
struct PrecisionOverride {
  std::string pattern;  ///< glob over paths (graph/glob.h): "decoder/*/attention/**"
  DType dtype = f32;
};

struct MixedPrecisionOptions {
  std::vector<PrecisionOverride> overrides = {};  ///< the first that matches decides
};

/// Rewrites the forward pass by the policy of each op (Traits::precision; docs/transforms.md, "Mixed precision", has
/// the table) and derives the gradients again from it:
///
/// - f32 operands of products (matmul, linear, attention, feed_forward) are rounded to `low`; losses, reductions, exp
///   and log get f32; other ops run in the type of their operands, widened where these differ. After the last product
///   all is f32, so losses and metrics are.
/// - One cast for each value and type, right behind the value. A cast of a parameter depends on nothing else.
/// - Parameters, states, losses, seeds, gradients of parameters and fetches keep their declared types. step.find(value)
///   is the value as it is computed now, perhaps in `low`.
/// - Random nodes keep their streams: dropout masks are those of f32.
/// - What was built in bf16, f16 or f64 stays so. An op without a kernel for `low` runs in f32.
///
/// Apply it right after training_step; on evaluation() and inference() it rewrites the forward pass alone. f16 needs a
/// loss scale (optim/loss_scale.h), bf16 does not. Equal up to rounding to `low`.
///
/// UserError: `low` is not bf16 or f16; applied twice; after scaling, accumulation, clipping, optimizing or
/// checkpointing; a fetch, update or node that reads gradients; a product of f64; an override that matches no node or
/// asks for another type.
Transform mixed_precision(DType low, MixedPrecisionOptions options = {},
                          std::source_location where = std::source_location::current());

}  // namespace weft
