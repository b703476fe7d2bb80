#include <autodiff/checkpoint_models.h>
#include <support/catch.h>

#include <algorithm>

using namespace weft;
using namespace checkpoint_models;

TEST_CASE("the bits are the same at every point of the frontier, dropout on, and no point takes more than its bytes",
          "[core][autodiff][checkpoint]") {
  const Gpt gpt(3);
  const Step step = gpt.step();
  const Bits expected = run(step, gpt.feeds(), 1);
  const MemoryFrontier frontier = memory_frontier(step, {.threads = 2});
  REQUIRE(frontier.points.size() >= 4);
  for (std::size_t i = 0; i < frontier.points.size(); i += std::max<std::size_t>(1, frontier.points.size() / 4)) {
    const auto budget = static_cast<std::int64_t>(frontier.points[i].bytes);
    const Step fitted = step | checkpoint({.budget = budget, .threads = 2});
    const Plan planned = plan(fitted, {.threads = 2});
    CHECK(planned.total_bytes() <= frontier.points[i].bytes);
    CHECK(predicted_seconds(planned) <= frontier.points[i].seconds * (1 + 1e-9));
    CHECK(first_difference(expected, run(fitted, gpt.feeds(), 2)).empty());
    CHECK(first_difference(expected, run(fitted, gpt.feeds(), 1)).empty());
  }
}

TEST_CASE("the frontier falls in time as bytes rise, and ends where all that helps is kept",
          "[core][autodiff][checkpoint]") {
  const Gpt gpt(3, 0.0);
  const Step step = gpt.step();
  const MemoryFrontier frontier = memory_frontier(step, {.threads = 1});
  for (std::size_t i = 1; i < frontier.points.size(); ++i) {
    CHECK(frontier.points[i].bytes > frontier.points[i - 1].bytes);
    CHECK(frontier.points[i].seconds < frontier.points[i - 1].seconds);
    CHECK(frontier.points[i - 1].recomputed > 0);
  }
  CHECK(frontier.points.back().seconds <= frontier.whole_seconds);
  CHECK(frontier.points.back().recomputed == 0);
  CHECK(frontier.points.back().bytes <= frontier.whole_bytes);
  CHECK(frontier.points.front().bytes < frontier.whole_bytes);
  CHECK(frontier.points.front().bytes > frontier.persistent_bytes);
  CHECK(frontier.whole_bytes == plan(step, {.threads = 1}).total_bytes());
  CHECK(frontier.whole_seconds == Approx(predicted_seconds(plan(step, {.threads = 1}))));
}

TEST_CASE("a frontier reads as a table and as a picture", "[core][autodiff][checkpoint]") {
  const Gpt gpt(2, 0.0);
  const MemoryFrontier frontier = memory_frontier(gpt.step(), {.threads = 1});
  const std::string table = frontier.str(), picture = frontier.svg();
  CHECK(static_cast<std::size_t>(std::ranges::count(table, '\n')) == frontier.points.size() + 2);
  CHECK_THAT(table, ContainsSubstring(fmt::format("{}", frontier.points.front().bytes)));
  CHECK_THAT(picture, ContainsSubstring("<svg") && ContainsSubstring("peak bytes planned, in KiB") &&
                          ContainsSubstring("time of one step predicted, in milliseconds") &&
                          ContainsSubstring("</svg>"));
  std::size_t circles = 0;
  for (std::size_t at = picture.find("<circle"); at != std::string::npos; at = picture.find("<circle", at + 1))
    ++circles;
  CHECK(circles == frontier.points.size() + 1);
}

TEST_CASE("a step that fits stays as it is", "[core][autodiff][checkpoint]") {
  const Gpt gpt(1);
  const Step step = gpt.step();
  const Step same = step | fit(static_cast<std::int64_t>(plan(step).total_bytes()));
  CHECK(clones(same).empty());
  CHECK(same.graph.size() == step.graph.size());
  CHECK(same.facts.contains("checkpointed"));
}

TEST_CASE("a budget below the least names the least possible and by how much it misses",
          "[core][autodiff][checkpoint][errors]") {
  const Gpt gpt(2);
  const Step step = gpt.step();
  CHECK_THROWS_WITH(step | fit(10_KiB),
                    ContainsSubstring("the budget of 10.0 KiB (10240 B) is too small: the least possible is") &&
                        ContainsSubstring("of parameters and states") &&
                        ContainsSubstring(" more; as it is, the step takes") &&
                        ContainsSubstring("checkpoint_budget_test.cpp:"));
  // What the message says is the least can be had.
  std::int64_t least = 0;
  try {
    step | checkpoint({.budget = 10240, .threads = 2});
  } catch (const UserError& error) {
    const std::string text = error.what();
    const auto at = text.find('(', text.find("the least possible is"));
    least = std::stoll(text.substr(at + 1));
  }
  REQUIRE(least > 0);
  CHECK(plan(step | checkpoint({.budget = least, .threads = 2}), {.threads = 2}).total_bytes() <=
        static_cast<std::size_t>(least));
}

TEST_CASE("memory_frontier refuses what has no backward pass or is checkpointed",
          "[core][autodiff][checkpoint][errors]") {
  const Gpt gpt(1);
  CHECK_THROWS_WITH(memory_frontier(evaluation(gpt.loss)), ContainsSubstring("needs a step with gradients"));
  CHECK_THROWS_WITH(memory_frontier(gpt.step() | checkpoint(every_block())), ContainsSubstring("not checkpointed yet"));
}

TEST_CASE(
    "GPT-2 124M at 4 x 1024 is planned to fit 3.0 GiB and 2.5 GiB, and its logits, where they are whole, share bytes "
    "with "
    "their gradient",
    "[autodiff][checkpoint]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 1024);
  const Value tokens = graph.input("tokens", i32, {batch, time}), targets = graph.input("targets", i32, {batch, time});
  const nn::Gpt model(graph, {.vocab = 50257, .layers = 12, .heads = 12, .width = 768, .context = 1024});
  const Value logits = model(tokens);
  const Step step =
      training_step(cross_entropy(logits, targets)) | clip_global_norm(1.0) | optimize(adamw({.rate = 3e-4}));
  const Plan unfused = plan(step, {.threads = 2, .lowering = {.disabled = {"chunk_projection_loss"}}});
  REQUIRE(unfused.total_bytes() > static_cast<std::size_t>(3.9_GiB));
  const std::size_t large = unfused.storage(unfused.step.find(logits).ref()).bytes;
  const auto as_large = [&](const Plan& planned) {
    return std::ranges::count_if(planned.storages, [&](const Storage& storage) {
      return storage.kind == StorageKind::arena && storage.bytes >= large;
    });
  };
  CHECK(as_large(unfused) == 1);
  const Plan whole = plan(step, {.threads = 2});
  CHECK(as_large(whole) == 0);
  CHECK(whole.total_bytes() + large * 17 / 20 < unfused.total_bytes());
  for (const std::int64_t budget : {3.0_GiB, 2.5_GiB}) {
    const Plan planned = plan(step | checkpoint({.budget = budget, .threads = 2}), {.threads = 2});
    check_plan(planned);
    CHECK(planned.total_bytes() <= static_cast<std::size_t>(budget));
    CHECK(planned.total_bytes() > static_cast<std::size_t>(budget) * 95 / 100);  // what there is is used
    CHECK(planned.arena_bytes <= planned.lower_bound * 201 / 200);
    CHECK(predicted_seconds(planned) < 1.15 * predicted_seconds(whole));
  }
}

TEST_CASE("sizes read as people write them", "[core][graph]") {
  CHECK(3_KiB == 3072);
  CHECK(512_MiB == 512 * 1024 * 1024);
  CHECK(3_GiB == std::int64_t{3} << 30);
  CHECK(1.5_GiB == std::int64_t{3} << 29);
  CHECK(0.5_KiB == 512);
  CHECK(2.25_MiB == 9 << 18);
}
