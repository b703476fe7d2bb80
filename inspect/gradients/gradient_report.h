// What the gradients of a run say: numbers by parameter and block, and verdicts with stated thresholds.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/program.h>

#include <cstdint>
#include <iosfwd>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// Where a verdict begins. The numbers are weft's own choice, wide enough that a model by the book passes at every step
/// of its training; the papers say what each looks for.
struct GradientThresholds {
  /// no_flow: reported when |g| <= flows_above * min(1, |loss|), g the gradient of a parameter; 1 where the step
  /// publishes no loss. Not of a gradient that waits for a factor which starts at 0 (Parameter::waits_for), nor where
  /// 0 <= loss <= learned.
  double flows_above = 1e-8, learned = 1e-12;
  /// A gradient g that sums cotangents c_i has cancelled to rounding when |g| <= max(cancels, u) * sum |c_i|, u the
  /// unit roundoff of their type: the loss does not depend on the parameter, and it is no no_flow. So are biases of
  /// keys, which softmax ignores, and those before a normalisation.
  double cancels = 1e-6;
  /// That test: |g|, sum |c_i|, and u.
  bool has_cancelled(double norm, double terms, double unit) const;
  /// vanishing, exploding: reported when |d_b| < vanishing * |d_a|, or |d_b| > exploding * |d_a|: |d_a| is the norm of
  /// the cotangents of what a block nearest to a loss gives, |d_b| that of a block whose gradient comes through it. For
  /// vanishing it holds at every block behind b too, so b is no side branch. Both are geometric in depth (Pascanu,
  /// Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", section 2).
  double vanishing = 1e-3, exploding = 1e3;
  /// dead_units: for more than this share of units every gradient is exactly 0 (Lu et al. 2019, "Dying ReLU and
  /// Initialization").
  double dead = 0.5;
  /// dead_units: asked where the batch has at least so many examples (rows of the value): of one example every other
  /// unit of a relu is at rest.
  std::int64_t dead_examples = 8;
  /// saturated: more than this share of the rows of a softmax or an attention is closed
  /// (inspect/gradients/tap_gradients.h).
  double saturated = 0.5;
  /// f16_underflow, of steps that compute in f16: of a gradient's elements that are not 0, more than this share is lost
  /// or loses digits at the loss scale in use (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).
  double f16_weak = 0.1;
  /// Parameter::f16_scale: the least of f16_scales at which at most this share of the elements that are not 0 is lost.
  double f16_lost = 1e-3;
  /// update_too_large: reported when |new w - w| > update * |w|, of parameters of at least two axes that do not start
  /// at 0.
  double update = 1;
};

/// What is wrong, where, by how much.
struct Verdict {
  enum class Kind : std::uint8_t {
    no_flow,
    vanishing,
    exploding,
    not_finite,
    dead_units,
    saturated,
    f16_underflow,
    update_too_large
  };
  Kind kind = Kind::no_flow;
  std::string path;   ///< of a parameter, a node or a block
  std::string where;  ///< the user's line; "" of a block
  double value = 0, threshold = 0;
  std::string message;      ///< with what to do
  std::string str() const;  ///< "vanishing: PATH (FILE:LINE): MESSAGE"
};
std::string_view name_of(Verdict::Kind kind);

/// NaN stands for what was not measured (inspect/gradients/tap_gradients.h says when).
struct GradientReport {
  struct Parameter {
    std::string path, block, where;
    std::int64_t elements = 0;
    double norm = 0, mean = 0, largest = 0;  ///< of the clean gradient; largest |g|
    double zeros = 0, not_finite = 0;        ///< shares of its elements
    /// Shares of all elements: that are not 0, and that f16 would round to 0 at scale 1; that it would round to 0, or
    /// keep with fewer digits (below 2^-14), at the loss scale in use.
    double f16_lost = 0, f16_lost_in_use = 0, f16_weak_in_use = 0;
    /// the least of f16_scales that keeps it (GradientThresholds::f16_lost); infinity: none does
    double f16_scale = 0;
    double f16_most =
        0;  ///< the greatest power of two at which the largest |g| is still finite in f16; infinity of zeros
    /// Share of units (rows of [out, in] weights, columns of [in, out] ones, elements of a vector) whose gradient is
    /// all 0; NaN of what is picked by rows, and of weights on the features of the data.
    double dead_rows = 0;
    std::int64_t examples = 0;  ///< rows of the batch that its gradient sums over
    /// A parameter that starts at 0 and is a factor of all that this one does: until it moves the gradient is exactly
    /// 0. "": none.
    std::string waits_for = {};
    double weight_norm = 0, update_ratio = 0;  ///< norm of w; of (new w - w) over it
    double arrives = 0;                        ///< sum |c_i| of a gradient that sums cotangents c_i; NaN of others
    bool cancels = false;                      ///< GradientThresholds::cancels
  };
  /// All parameters of a block, and the gradient that goes through it.
  struct Block {
    std::string name;  ///< inspect/audit/blocks.h
    std::int64_t elements = 0;
    double norm = 0, mean = 0, largest = 0, zeros = 0;  ///< over its parameters' gradients; NaN where it has none
    /// norm of the cotangents of what it reads of other blocks, of what it gives to others
    double reads = 0, gives = 0;
    double gain = 0;  ///< reads / gives: what the block does to the gradient that goes through it
  };
  /// A node at which a gradient may stop: an activation with dead units, a saturated softmax.
  struct Passage {
    std::string path, op, where;
    std::int64_t operand = -1;       ///< of closed rows
    std::int64_t examples = 0;       ///< rows of the node's value, of the whole batch
    double closed = 0, reached = 0;  ///< units that are dead or rows that are closed; at how many something arrives
    double share() const { return reached > 0 ? closed / reached : 0; }
  };

  std::vector<Parameter> parameters;  ///< in the order of Step::gradients
  std::vector<Block> blocks;          ///< in build order: the last is nearest to the loss
  std::vector<Passage> units, rows;
  double norm = 0;                ///< of all gradients together
  double loss = 0;                ///< NaN where the step publishes none
  double f16_scale = 0;           ///< the largest that a parameter asks for whose gradient does not cancel
  std::vector<Verdict> verdicts;  ///< in the order of Verdict::Kind

  bool healthy() const { return verdicts.empty(); }
  std::vector<Verdict> of(Verdict::Kind kind) const;
  /// UserError that lists the first: none of that name.
  const Parameter& parameter(std::string_view path) const;
  const Block& block(std::string_view name) const;

  /// A table of blocks, one of parameters, what is closed, the verdicts (the first five of each kind).
  std::string str() const;
  /// JSON objects, one a line, each ending in a line break: {"kind": "step" | "block" | "parameter" | "units" | "rows"
  /// | "verdict", "step": STEP, ...}. Numbers that are not finite are null.
  std::string json_lines(std::int64_t step = 0) const;
};
std::ostream& operator<<(std::ostream& out, const GradientReport& report);

/// Reads what tap_gradients() published of the step by its last run. UserError: the step has no such taps; the
/// result is of another step.
GradientReport gradient_report(const Result& result, const Step& step, const GradientThresholds& thresholds = {},
                               std::source_location where = std::source_location::current());

}  // namespace weft
