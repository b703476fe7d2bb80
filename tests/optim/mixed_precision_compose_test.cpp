// Mixed precision among other transforms.
#include <support/catch.h>

#include <equivalence/models.h>
#include <weft/weft.h>

using namespace weft;

namespace {

Step trained(const Step& step) {
  return step | clip_global_norm(1.0) | optimize(adamw({.rate = warmup_cosine(1e-2, 1, 9), .weight_decay = 0.1}));
}

}  // namespace

TEST_CASE("mixed precision rounds to the low type and does nothing else, over three models", "[optim][precision]") {
  for (const test::ProofModel& model : test::proof_models())
    for (const DType low : {bf16, f16}) {
      const Step step = training_step(model.loss);
      const Equivalence result = verify_equivalent(step, step | mixed_precision(low), model.options);
      INFO(model.name << " " << name_of(low) << "\n" << result.str());
      CHECK(result.passed());
    }
}

TEST_CASE("a whole step in low precision, scaled and accumulated, equals the plain one up to rounding",
          "[optim][precision]") {
  for (const test::ProofModel& model : test::proof_models()) {
    const Step step = training_step(model.loss);
    const Step low = trained(step | mixed_precision(f16) | scale_loss(dynamic_scale({.start = 1024})) | accumulate(3));
    const Equivalence result = verify_equivalent(trained(step), low, model.options);
    INFO(model.name << "\n" << result.str());
    CHECK(result.passed());
  }
}

TEST_CASE("recomputing in low precision gives the same bits", "[optim][precision]") {
  const test::ProofModel model = test::small_gpt();
  const Step step = trained(training_step(model.loss) | mixed_precision(bf16));
  const Equivalence result = verify_equivalent(step, step | checkpoint(every_block()), model.options);
  INFO(result.str());
  CHECK(result.passed());
}

TEST_CASE("casts of weights are done once a step, those of activations once a micro-batch",
          "[core][optim][precision]") {
  const test::ProofModel model = test::small_gpt();
  const Step step = training_step(model.loss) | mixed_precision(bf16) | accumulate(3);
  std::size_t weights = 0, activations = 0;
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (!node.provenance.pass.starts_with("mixed_precision")) continue;
    INFO(node.name);
    const bool of_weight = step.graph.node(node.operands.front().node).op->traits.source;
    CHECK(node.phase == (of_weight ? Phase::step : Phase::micro));
    ++(of_weight ? weights : activations);
  }
  CHECK(weights == 8 + 4 + 1);  // four projections and two feed-forward matrices with biases, and the table as head
  CHECK(activations > 4);
  for (const Gradient& gradient : step.gradients) CHECK(gradient.value.dtype() == f32);  // accumulators
}
