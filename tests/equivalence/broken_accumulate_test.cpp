#include <equivalence/broken.h>

#include <weft/ops/step/micro.h>

using namespace weft;
using namespace weft::test;

namespace {

constexpr std::int64_t k = 3;

Transform sound() { return accumulate(k); }

// What one micro-batch adds to `total`.
Value part_of(const Step& step, Value total) {
  while (total.node().op != &accumulate_sum_op()) total = step.graph.value(total.node().operands.front());
  return step.graph.value(total.node().operands.front());
}

// 0 or 1, [], for the running micro-batch.
Value flag(Step& step, const std::vector<double>& of_batches, DType dtype) {
  Tensor values(f64, {k});
  for (std::int64_t i = 0; i < k; ++i) values.data<double>()[i] = of_batches[static_cast<std::size_t>(i)];
  const Tensor typed = values.cast(dtype);
  const auto phase = step.graph.phase(Phase::step);
  const Value all =
      step.graph.constant({{dtype, {k}}, std::vector<std::byte>(typed.raw(), typed.raw() + typed.bytes())});
  const auto micro = step.graph.phase(Phase::micro);
  return reshape(micro_slice(all, BatchState::split_at(0), k), {});
}

Value summed_again(Step& step, const std::string& pass, const Value& total,
                   const std::function<Value(const Value&)>& change) {
  const auto origin = step.graph.made_by(pass, total.ref().node);
  Value part = part_of(step, total);
  {
    const auto micro = step.graph.phase(Phase::micro);
    part = change(part);
  }
  const auto phase = step.graph.phase(Phase::step);
  return accumulate_sum(part);
}

}  // namespace

TEST_CASE("a mean of the means of micro-batches is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        const Value weight = part_of(s, s.gradient_weight);
                        for (Gradient& gradient : s.gradients) {
                          gradient.value = summed_again(s, "mean_of_means", gradient.value, [&](const Value& part) {
                            return part / cast(maximum(cast(weight, f64), 1.0), part.dtype()) / static_cast<double>(k);
                          });
                          gradient.tags.weight_normalised = true;
                        }
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"gradient '", "by mean_of_means"});
}

TEST_CASE("a last micro-batch that is forgotten is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        for (Gradient& gradient : s.gradients)
                          gradient.value = summed_again(s, "forget_last", gradient.value, [&](const Value& part) {
                            return part * flag(s, {1, 1, 0}, part.dtype());
                          });
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"gradient '", "by forget_last"});
}

TEST_CASE("the weight of the last micro-batch for all of them is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        s.gradient_weight = summed_again(s, "last_weight", s.gradient_weight, [&](const Value& part) {
                          return part * flag(s, {0, 0, static_cast<double>(k)}, part.dtype());
                        });
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"gradient '"});
}

TEST_CASE("a micro-batch that is counted twice is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        for (Gradient& gradient : s.gradients)
                          gradient.value = summed_again(s, "twice", gradient.value, [&](const Value& part) {
                            return part * flag(s, {2, 1, 1}, part.dtype());
                          });
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"gradient '"});
}

TEST_CASE("micro-batches that draw other masks than the whole batch are caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken =
      step | spoil(sound(), [](Step s) {
        Rebuild rebuild(s.graph, "other_masks");
        for (const NodeId id : s.graph.ids()) {
          const Node& node = s.graph.node(id);
          if (node.op->traits.random && node.attributes.has("stream"))
            rebuild.keep_with(node, node.attributes.with("stream", node.attributes.integer("stream") + 1000));
          else rebuild.keep(node);
        }
        return s.over(rebuild.finish());
      });
  expect_caught(step, step | sound(), broken, model.options, {"published 'loss'", "gradient '"});
}
