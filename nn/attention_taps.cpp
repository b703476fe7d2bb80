#include <weft/nn/attention_taps.h>

#include <weft/graph/taps.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>
#include <weft/ops/step/micro.h>

namespace weft::nn {
namespace {

// The taps of one attention: statistics where the attention runs, quotients where the batch is whole.
class Taps {
 public:
  Taps(Step& step, const AttentionNode& node, const AttentionTapOptions& options)
      : step_(step),
        node_(node),
        options_(options),
        split_(step.micro_batches > 1 && node.y.node().phase == Phase::micro) {}

  void add() {
    const TapScope scope(step_.graph, node_.path, "tap_attention", node_.y.ref().node);
    const auto phase = step_.graph.phase(node_.y.node().phase);
    const HeadWeights of = head_weights(node_.y);
    mean("entropy", head_entropy(of));
    mean("sparsity", head_sparsity(of, options_.sparse_below));
    mean("peak", head_peak(of));
    publish("maximum", chosen(of_examples(head_maximum(of)), 1));
    for (const HeadPattern pattern : head_patterns) {
      const PatternShare found = head_pattern(of, pattern, options_.block_width);
      mean(fmt::format("share/{}", name_of(pattern)), found.share);
      mean(fmt::format("chance/{}", name_of(pattern)), found.chance);
    }
    if (node_.heads > 1) mean("diversity", head_diversity(of));
    if (!node_.all()) publish("heads", node_.chosen);
    if (options_.weights) publish("weights", chosen(of_examples(of.weights), 1));
  }

 private:
  template <class T>
  void publish(const std::string& name, const T& value) {
    add_tap(step_, fmt::format("attention/{}/{}", node_.path, name), value);
  }

  void mean(const std::string& name, const HeadMean& parts) {
    const HeadMean whole{of_sum(parts.sum), of_sum(parts.count)};
    const auto phase = step_.graph.phase(split_ ? Phase::step : node_.y.node().phase);
    const Value value = whole.value();
    publish(name, value.rank() == 0 ? value : chosen(value, 0));
  }

  // From the micro-batches to the step: a sum over the examples, and what each of them has along axis 0.
  Value of_sum(const Value& x) {
    if (!split_) return x;
    const auto phase = step_.graph.phase(Phase::step);
    return accumulate_sum(x);
  }
  Value of_examples(const Value& x) {
    if (!split_) return x;
    const auto phase = step_.graph.phase(Phase::step);
    return micro_stack(x, BatchState::split_at(0), step_.micro_batches);
  }

  Value chosen(const Value& x, std::int64_t axis) {
    if (node_.all()) return x;
    const auto phase = step_.graph.phase(split_ ? Phase::step : node_.y.node().phase);
    std::vector<Value> parts;
    for (const std::int64_t head : node_.chosen)
      parts.push_back(slice(x, {.axis = axis, .start = head, .stop = head + 1}));
    return concatenate(parts, axis);
  }

  Step& step_;
  const AttentionNode& node_;
  const AttentionTapOptions& options_;
  bool split_;
};

}  // namespace

Transform tap_attention(AttentionTapOptions options, std::source_location where) {
  const UserLine line(where);
  return {.name = "tap_attention", .claim = Claim::same_bits, .apply = [options = std::move(options)](Step step) {
            for (const AttentionNode& node : attention_nodes(step, "tap_attention", options.of))
              Taps(step, node, options).add();
            return step;
          }};
}

}  // namespace weft::nn
