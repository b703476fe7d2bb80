// What every op of the registry has: an oracle, bad samples, extremes. The checks made from its samples
// (inspect/op/check_op.h) are entries of ctest, one an op: ops.registry.ROOM.OP.
#include <support/catch.h>

#include <weft/graph/registry.h>
#include <weft/ops/all.h>

#include <algorithm>
#include <set>
#include <string>

using namespace weft;

TEST_CASE("every op has an oracle: a plain definition or a reference", "[core][ops][registry]") {
  register_all();
  for (const OpDef* op : registry().all()) {
    if (op->traits.source) continue;
    INFO(op->name);
    CHECK((op->plain || op->reference));
  }
}

TEST_CASE("every op says what is wrong with a bad call, but those that take any tensor", "[core][ops][registry]") {
  register_all();
  const std::set<std::string> takes_any{"cast", "copy", "row_region", "stop_gradient"};
  for (const OpDef* op : registry().all()) {
    if (op->traits.source) continue;
    INFO(op->name);
    CHECK(op->bad_samples.empty() == takes_any.contains(op->name));
  }
}

// Infinities, NaN, denormals, +-1e4 and zeros among normals (sample::extremes): the result is the oracle's. Of
// attention only scores of +-1e4: a weight too small for f32 times infinity is another number in f64.
TEST_CASE("every op of floats that has a gradient meets extremes", "[core][ops][registry]") {
  register_all();
  for (const OpDef* op : registry().all()) {
    if (op->traits.source || op->kernel(f32) == nullptr || !op->backward || op->name == "attention") continue;
    if (op->least_inputs == 0) continue;
    const bool meets = std::ranges::any_of(op->samples, [](const Sample& sample) {
      return std::ranges::any_of(sample.inputs,
                                 [](const SampleInput& x) { return x.fill == SampleInput::Fill::extremes; });
    });
    INFO(op->name);
    CHECK(meets);
  }
}
