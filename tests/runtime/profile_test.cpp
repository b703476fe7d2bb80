#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

using namespace weft;

namespace {

Step small_step(std::int64_t micro_batches = 1) {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 8), 16});
  const Value w = graph.parameter("w", {f32, {4, 16}}, init::normal(0, 1));
  Step step = training_step(mse_loss(linear(x, w), graph.input("y", f32, {graph.dim("batch", 8), 4})));
  if (micro_batches > 1) step = step | accumulate(micro_batches);
  return step | optimize(adamw());
}

const MachineRates limit{.product_flops = 1e11, .bytes = 1e10};

}  // namespace

TEST_CASE("a profile has a row for each node that ran, with its line, cost and time", "[core][runtime]") {
  const Step step = small_step();
  Store store(step);
  Program program(step, store);
  const NamedTensors tensors = random_feeds(step.graph, 0);
  const Profile profile = program.profile(feeds_of(tensors), {.runs = 3, .limit = limit});
  CHECK(store.runs() == 3);
  double inside = 0;
  std::map<std::string, int> count;
  for (const ProfileRow& row : profile.rows) {
    CHECK(row.times == 1);
    CHECK(row.seconds > 0);
    CHECK(row.seconds <= row.last);
    CHECK_THAT(row.where, ContainsSubstring("profile_test.cpp"));
    inside += row.seconds;
    ++count[row.op];
  }
  CHECK(inside <= profile.seconds);
  CHECK(count["adamw"] == 1);
  const auto& product = *std::ranges::find(profile.rows, "linear", &ProfileRow::op);
  CHECK(product.cost.flops == 2.0 * 8 * 4 * 16);
  CHECK(product.type == "f32[batch=8, 4]");
  // 1024 operations at 1e11 a second, 64 + 512 + 128 ... bytes at 1e10: the bytes decide.
  CHECK(profile.share_of_limit(product) == Approx(product.cost.bytes / 1e10 / product.seconds));

  double summed = 0;
  for (const ProfileRow& row : profile.by_op()) summed += row.seconds;
  CHECK(summed == Approx(inside));
  const std::string text = profile.str(3);
  CHECK_THAT(text, ContainsSubstring("adamw (1)"));
  CHECK_THAT(text, ContainsSubstring("limit: 100 GFLOP/s, 10.0 GB/s"));
}

TEST_CASE("nodes of micro-batches are timed once for each of them", "[core][runtime]") {
  const Step step = small_step(4);
  Store store(step);
  Program program(step, store);
  const NamedTensors tensors = random_feeds(step.graph, 0);
  const Profile profile = program.profile(feeds_of(tensors), {.runs = 1, .limit = limit});
  const auto& product = *std::ranges::find(profile.rows, "linear", &ProfileRow::op);
  CHECK(product.times == 4);
  CHECK(product.cost.flops == 2.0 * 8 * 4 * 16);
  CHECK(std::ranges::find(profile.rows, "adamw", &ProfileRow::op)->times == 1);
}

TEST_CASE("a profile's trace is what trace viewers read", "[core][runtime]") {
  const Step step = small_step();
  Store store(step);
  Program program(step, store);
  const NamedTensors tensors = random_feeds(step.graph, 0);
  const Profile profile = program.profile(feeds_of(tensors), {.runs = 2, .limit = limit});
  const auto trace = nlohmann::json::parse(profile.chrome_trace());
  const auto& events = trace.at("traceEvents");
  REQUIRE(events.size() == profile.rows.size());
  double end = 0;
  for (const auto& event : events) {
    CHECK(event.at("ph") == "X");
    CHECK(event.at("ts").get<double>() >= end);  // one after the other
    end = event.at("ts").get<double>() + event.at("dur").get<double>() - 1e-3;
  }
}

TEST_CASE("a profiled run trains as any other", "[core][runtime]") {
  const Step step = small_step();
  Store a(step), b(step);
  const NamedTensors tensors = random_feeds(step.graph, 0);
  Program first(step, a), second(step, b);
  first.profile(feeds_of(tensors), {.runs = 2, .limit = limit});
  first.run(feeds_of(tensors));
  for (int i = 0; i < 3; ++i) second.run(feeds_of(tensors));
  CHECK(std::ranges::equal(a.tensor("w").values<float>(), b.tensor("w").values<float>()));
}

TEST_CASE("a profile of no run is refused", "[errors][runtime]") {
  const Step step = small_step();
  Store store(step);
  Program program(step, store);
  CHECK_THROWS_WITH(program.profile({}, {.runs = 0}), ContainsSubstring("a profile needs at least one run, got 0"));
  CHECK_THROWS_WITH(program.profile({}, {.runs = 1, .limit = limit}), ContainsSubstring("was not fed"));
}

TEST_CASE("the machine's rates are measured", "[runtime]") {
  const MachineRates rates = measured_rates();
  CHECK(rates.product_flops > 1e7);
  CHECK(rates.bytes > 1e7);
}
