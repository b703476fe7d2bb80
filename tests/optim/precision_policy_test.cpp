// What mixed precision asks of every op of the registry: kernels for what its policy implies.
#include <support/catch.h>

#include <weft/inspect/op/sample_run.h>
#include <weft/weft.h>

#include <algorithm>

using namespace weft;

namespace {

std::vector<const OpDef*> ops() {
  register_all();
  std::vector<const OpDef*> found;
  for (const OpDef* op : registry().all())
    if (!op->traits.source && !op->samples.empty()) found.push_back(op);
  return found;
}

bool has_floats(const SampleRun& run) {
  return std::ranges::any_of(run.operands(), [](const Value& x) { return x.valid() && is_float(x.dtype()); });
}

}  // namespace

TEST_CASE("an op that may run in bf16 or f16 has kernels for it, backward too", "[core][optim][precision]") {
  std::size_t ran = 0;
  for (const OpDef* op : ops()) {
    if (op->traits.precision == Precision::f32) continue;
    for (const DType low : {bf16, f16})
      for (const Sample& sample : std::span(op->samples).first(std::min<std::size_t>(2, op->samples.size()))) {
        const SampleRun run(*op, sample, low);
        if (!has_floats(run)) continue;
        INFO(op->name << " in " << name_of(low));
        run.graph().check();
        REQUIRE(run.supported());
        if (run.differentiable_inputs().empty() || op->traits.cuts_gradient) continue;
        // Throws where a node of the backward pass has no kernel or no agreeing types.
        for (const Tensor& gradient : run.gradients(run.cotangents()))
          if (!gradient.empty()) CHECK(gradient.dtype() != f64);
        ++ran;
      }
  }
  CHECK(ran > 200);
}
