#include <support/catch.h>

#include <weft/inspect/op/sample_run.h>
#include <weft/weft.h>

using namespace weft;

namespace {

bool same_types(const Step& a, const Step& b) {
  for (const Fetch& fetch : a.fetches)
    if (b.fetch(fetch.name).type() != fetch.value.type()) return false;
  return true;
}

}  // namespace

TEST_CASE("the float64 twin of each op is the op in f64, bit for bit", "[optim][widen]") {
  register_all();
  std::size_t compared = 0, ops = 0;
  for (const OpDef* op : registry().all()) {
    bool has_twin = false;
    for (std::size_t i = 0; i < op->samples.size(); ++i) {
      const SampleRun narrow(*op, op->samples[i], f32);
      SampleRun wide(*op, op->samples[i], f64);
      if (!narrow.supported() || !wide.supported()) continue;
      INFO(op->name << ", sample " << i);
      wide.take_values(narrow);
      const Step step = fetching({narrow.outputs().begin(), narrow.outputs().end()});
      const Step twin = widen(step);
      CHECK_FALSE(has_narrow_types(twin));
      const Step other = fetching({wide.outputs().begin(), wide.outputs().end()});
      // An attribute or an operand of a sample may be f32 whatever the type under test: only the twin has f64 there.
      if (!same_types(twin, other) || has_narrow_types(other)) continue;
      NamedTensors feeds;
      for (std::size_t k = 0; k < narrow.names().size(); ++k) {
        const Tensor& fed = narrow.tensor(k);
        feeds.emplace_back(narrow.names()[k], is_float(fed.dtype()) ? fed.cast(f64) : fed);
      }
      Store store(twin);
      Program program(twin, store);
      const Result result = program.run(feeds_of(feeds));
      const std::vector<Tensor> expected = wide.run();
      for (std::size_t k = 0; k < step.fetches.size(); ++k)
        CHECK(same_bits(result.tensor(step.fetches[k].name), expected[k]));
      ++compared;
      has_twin = true;
    }
    ops += has_twin;
  }
  CHECK(ops > 80);
  CHECK(compared > 300);
}

TEST_CASE("the float64 twin keeps numbers that were rounded, and has exact ones where they were not",
          "[core][optim][widen]") {
  Graph graph;
  const Tensor third = Tensor::of<float>({1}, {1.0F / 3});
  const Value rounded =
      graph.constant({{f32, {1}}, std::vector<std::byte>(third.raw(), third.raw() + third.bytes())}) * 1.0;
  const Value exact = full(graph, {1}, f32, 1.0 / 3) * 1.0;
  const Value w = graph.parameter("w", {bf16, {2}}, init::constant(0.1));
  const Step twin = widen(fetching({rounded, exact, cast(w, f32)}));
  Store store(twin);
  Program program(twin, store);
  const Result result = program.run();
  CHECK(result.tensor(rounded.name()).at(0) == static_cast<double>(1.0F / 3));
  CHECK(result.tensor(exact.name()).at(0) == 1.0 / 3);
  CHECK(store.tensor("w").at(0) == 0.1);
  CHECK(result.tensor("cast").dtype() == f64);
}

TEST_CASE("a step without narrow types is its own twin", "[core][optim][widen]") {
  Graph graph;
  const Value x = graph.input("x", f64, {3});
  const Step step = fetching({x * 2.0});
  CHECK_FALSE(has_narrow_types(step));
  CHECK(widen(step).graph.size() == step.graph.size());
}
