#include <equivalence/broken.h>

using namespace weft;
using namespace weft::test;

namespace {

Transform sound() { return mixed_precision(bf16); }
Transform descent() { return optimize(adamw({.rate = 1e-3})); }

}  // namespace

TEST_CASE("mixed precision that keeps its masters in bf16 is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Transform low = spoil(descent(), [](Step s) {
    for (Update& update : s.updates)
      if (update.state.node().op == &parameter_op()) update.value = cast(cast(update.value, bf16), f32);
    return s;
  });
  expect_caught(step | descent(), step | sound() | descent(), step | sound() | low, model.options,
                {"holds only numbers of bf16"});
}

TEST_CASE("mixed precision that casts a loss to bf16 is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_encoder();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        s.set_fetch("loss", cast(cast(s.fetch("loss"), bf16), f32));
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"published 'loss'", "holds only numbers of bf16"});
}

TEST_CASE("a loss that is published in another type is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        s.set_fetch("loss", cast(s.fetch("loss"), bf16));
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"published 'loss'", "is f32[] before and bf16[] after"});
}

TEST_CASE("mixed precision whose masks are drawn anew is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken =
      step | spoil(sound(), [](Step s) {
        Rebuild rebuild(s.graph, "new_masks");
        for (const NodeId id : s.graph.ids()) {
          const Node& node = s.graph.node(id);
          if (node.op->traits.random && node.attributes.has("stream"))
            rebuild.keep_with(node, node.attributes.with("stream", node.attributes.integer("stream") + 1000));
          else rebuild.keep(node);
        }
        return s.over(rebuild.finish());
      });
  expect_caught(step, step | sound(), broken, model.options, {"published 'loss'", "first node that differs: "});
}

TEST_CASE("a scale that comes with the cast of a weight is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        Gradient& gradient = gradient_at(s, "decoder/0/feed_forward/up/weight");
                        gradient.value = gradient.value * 1.001;  // well within what bf16 rounds
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options,
                {"gradient 'decoder/0/feed_forward/up/weight', float64 twin"});
}
