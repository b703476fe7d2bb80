#include <equivalence/broken.h>

#include <weft/autodiff/checkpoint.h>

using namespace weft;
using namespace weft::test;

namespace {

Transform sound() { return checkpoint(nothing_saveable()); }

// The step with other attributes for the clones that `picks` picks.
Step with_clones(const Step& step, const std::string& pass,
                 const std::function<std::optional<Attributes>(const Node&)>& change) {
  Rebuild rebuild(step.graph, pass);
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    const auto changed = node.provenance.pass == "checkpoint" ? change(node) : std::nullopt;
    if (changed) rebuild.keep_with(node, *changed);
    else rebuild.keep(node);
  }
  return step.over(rebuild.finish());
}

}  // namespace

TEST_CASE("another mask in the clone of a dropout is caught, and the clone is named", "[optim][equivalence][broken]") {
  const ProofModel model = small_encoder();
  const Step step = training_step(model.loss);
  const Step broken = step | spoil(sound(), [](Step s) {
                        bool done = false;
                        return with_clones(s, "other_mask", [&](const Node& node) -> std::optional<Attributes> {
                          if (done || !node.op->traits.random || !node.attributes.has("stream")) return std::nullopt;
                          done = true;
                          return node.attributes.with("stream", node.attributes.integer("stream") + 1000);
                        });
                      });
  expect_caught(
      step, step | sound(), broken, model.options,
      {"gradient '", "expected the same bits", "first node that differs: ", "made by checkpoint", "models.cpp:"});
}

TEST_CASE("a clone that reads an updated parameter is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_regression();
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-2}));
  const Step broken = step | spoil(sound(), [](Step s) {
                        // The gradient of the first layer, recomputed with what the second
                        // layer's weight becomes.
                        const Update& out = update_at(s, "out/weight");
                        Update& hidden = update_at(s, "hidden/weight");
                        const auto phase = s.graph.phase(Phase::step);
                        const auto pass = s.graph.made_by("stale_order", no_node);
                        Gradient& gradient = gradient_at(s, "hidden/weight");
                        const Value late = substitute({gradient.value}, {{out.state, out.value}}).front();
                        hidden.value = substitute({hidden.value}, {{gradient.value, late}}).front();
                        return s;
                      });
  expect_caught(step, step | sound(), broken, model.options, {"cell 'hidden/weight'"});
}

TEST_CASE("a gradient that is no longer computed after checkpointing is caught", "[optim][equivalence][broken]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss);
  const Step broken =
      step | spoil(sound(), [](Step s) {
        std::erase_if(s.gradients, [](const Gradient& g) { return g.parameter.node().name == "norm/bias"; });
        return s;
      });
  expect_caught(step, step | sound(), broken, model.options, {"gradient 'norm/bias'", "there is none after"});
}
