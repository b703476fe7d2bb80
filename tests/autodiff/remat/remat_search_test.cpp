#include <weft/autodiff/remat/cut.h>
#include <weft/autodiff/remat/search.h>
#include <weft/weft.h>

#include <support/catch.h>

#include <algorithm>
#include <cmath>
#include <random>

using namespace weft;
using remat::Search, remat::Score, remat::Saved;

namespace {

// A small training step at random: chains, residual nets and diamonds of cheap and expensive nodes of different widths.
Step random_step(std::uint32_t seed, int most) {
  std::mt19937 random(seed);
  auto below = [&](std::uint32_t n) { return static_cast<int>(random() % n); };
  Graph graph;
  const std::int64_t rows = 64 << below(3);
  Value x = graph.input("x", f32, {graph.dim("batch", rows), 8 << below(3)});
  int nodes = 0;
  auto linear_to = [&](const Value& from, std::int64_t width) {
    ++nodes;
    return matmul(from, graph.parameter(fmt::format("w{}", nodes), {f32, {from.dim(1), width}}, init::normal(0, 0.1)));
  };
  auto cheap = [&](const Value& from) {
    ++nodes;
    return below(2) == 0 ? tanh(from) : relu(from);
  };
  x = linear_to(x, 16 << below(3));
  while (nodes < most - 4) {
    switch (below(4)) {
      case 0:
        x = cheap(x);
        break;
      case 1:
        x = linear_to(x, 8 << below(4));
        break;
      case 2: {  // residual
        const Value inner = cheap(linear_to(x, x.dim(1).value()));
        ++nodes;
        x = x + inner;
        break;
      }
      default: {  // diamond
        const Value left = cheap(x), right = linear_to(x, x.dim(1).value());
        ++nodes;
        x = left * right;
      }
    }
  }
  return training_step(Loss(sum(x * x))) | optimize(adamw({.rate = 0.1}));
}

// Every way to keep or drop the results of the ops that can run again.
std::vector<Score> all_subsets(Search& search) {
  std::vector<int> ops;
  const remat::RematGraph& graph = search.graph();
  for (std::size_t i = 0; i < graph.ops.size(); ++i)
    if (graph.ops[i].recomputable && !graph.ops[i].writes.empty()) ops.push_back(static_cast<int>(i));
  std::vector<Score> scores;
  for (std::size_t subset = 0; subset < (std::size_t{1} << ops.size()); ++subset) {
    Saved saved(graph.stored.size(), true);
    for (std::size_t i = 0; i < ops.size(); ++i)
      for (int s : graph.op(ops[i]).writes) saved[static_cast<std::size_t>(s)] = (subset >> i & 1U) != 0;
    scores.push_back(search.score(saved, "subset"));
  }
  return scores;
}

struct Gaps {
  int choices = 0, optimal = 0, missed = 0;
  double worst = 0;
};

void compare(std::uint32_t seed, int most, Gaps& gaps) {
  const Step step = random_step(seed, most);
  Search all(step, 1, {});
  const std::vector<Score> scores = all_subsets(all);
  std::size_t least = SIZE_MAX;
  for (const Score& score : scores) least = std::min(least, score.bytes);
  const std::size_t whole = all.whole().bytes;
  for (int part = 0; part <= 4; ++part) {
    const std::size_t budget = least + (whole - least) * static_cast<std::size_t>(part) / 5;
    double best = std::numeric_limits<double>::infinity();
    for (const Score& score : scores)
      if (score.bytes <= budget) best = std::min(best, score.seconds);
    Search search(step, 1, {});
    const Score found = search.best(budget);
    ++gaps.choices;
    gaps.missed += found.bytes > budget;
    if (found.bytes > budget) continue;
    const double gap = found.seconds / best - 1;
    gaps.optimal += gap < 1e-12;
    gaps.worst = std::max(gaps.worst, gap);
  }
}

}  // namespace

TEST_CASE("on small random graphs the plan chosen is the best of all subsets in nearly all cases",
          "[autodiff][checkpoint]") {
  Gaps gaps;
  for (std::uint32_t seed = 1; seed <= 14; ++seed) compare(seed, 9, gaps);
  WARN(fmt::format("{} choices: {} optimal, {} found no plan where there is one; worst gap {:.2f} % of the step's time",
                   gaps.choices, gaps.optimal, gaps.missed, 100 * gaps.worst));
  CHECK(gaps.missed == 0);
  CHECK(gaps.optimal * 10 >= gaps.choices * 9);
  CHECK(gaps.worst < 0.05);
}

TEST_CASE("the same on graphs of up to 16 nodes", "[.][exhaustive]") {
  Gaps gaps;
  for (std::uint32_t seed = 101; seed <= 112; ++seed) compare(seed, 14, gaps);
  WARN(fmt::format("{} choices: {} optimal, {} found no plan where there is one; worst gap {:.2f} % of the step's time",
                   gaps.choices, gaps.optimal, gaps.missed, 100 * gaps.worst));
  CHECK(gaps.missed == 0);
  CHECK(gaps.worst < 0.05);
}

TEST_CASE("the minimum cut keeps the fewest bytes of all choices that run no banned op again",
          "[core][autodiff][checkpoint]") {
  for (std::uint32_t seed = 21; seed < 40; ++seed) {
    const remat::RematGraph graph(random_step(seed, 8));
    std::vector<bool> banned(graph.ops.size(), false);
    std::mt19937 random(seed);
    for (std::size_t i = 0; i < banned.size(); ++i) banned[i] = graph.ops[i].expensive && random() % 2 == 0;
    const remat::CutOptions options{Saved(graph.stored.size(), false), banned};
    const Saved cut = remat::cheapest(graph, options);
    std::vector<int> choices;
    for (int s = 0; s < graph.size(); ++s)
      if (graph.at(s).choice) choices.push_back(s);
    REQUIRE(choices.size() <= 12);
    auto bytes_if_legal = [&](const Saved& saved) {  // -1: a banned op would run again
      std::vector<bool> again(graph.ops.size(), false);
      for (int s = graph.size(); s-- > 0;) {
        const auto at = static_cast<std::size_t>(s);
        const int op = graph.at(s).op;
        bool needed = graph.at(s).read_late;
        for (int reader : graph.at(s).readers) needed |= again[static_cast<std::size_t>(reader)];
        if (graph.at(s).choice && needed && !saved[at]) again[static_cast<std::size_t>(op)] = true;
      }
      std::int64_t bytes = 0;
      for (std::size_t i = 0; i < again.size(); ++i)
        if (again[i] && banned[i]) return std::int64_t{-1};
      for (int s : choices)
        if (saved[static_cast<std::size_t>(s)]) bytes += static_cast<std::int64_t>(graph.at(s).bytes) + 1;
      return bytes;
    };
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (std::size_t subset = 0; subset < (std::size_t{1} << choices.size()); ++subset) {
      Saved saved(graph.stored.size(), false);
      for (std::size_t i = 0; i < choices.size(); ++i)
        if ((subset >> i & 1U) != 0) saved[static_cast<std::size_t>(choices[i])] = true;
      if (const std::int64_t bytes = bytes_if_legal(saved); bytes >= 0) least = std::min(least, bytes);
    }
    CHECK(bytes_if_legal(cut) == least);
    CHECK(min_cut(remat::network_of(graph, options)).flow == least);
  }
}

TEST_CASE("blocks of an encoder and a decoder are found, and the encoder's output is set aside once",
          "[core][autodiff][checkpoint]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4);
  const Value source = graph.input("source", f32, {batch, 6, 16}), target = graph.input("target", f32, {batch, 5, 16});
  auto norm = [&](const std::string& name, const Value& x) { return nn::LayerNorm(graph, name, {.width = 16})(x); };
  auto forward = [&](const std::string& name, const Value& x) {
    const Value h = nn::FeedForward(graph, name, {.width = 16})(x);
    return h;
  };
  auto attend = [&](const std::string& name, const Value& q, const Value& kv) {
    return nn::Attention(graph, name, {.width = 16, .heads = 2})(q, kv, kv);
  };
  Value x = nn::Linear(graph, "embed_source", {.in = 16, .out = 16})(source);
  Value y = nn::Linear(graph, "embed_target", {.in = 16, .out = 16})(target);
  std::vector<Value> expected;
  for (int i = 0; i < 3; ++i) {  // post-norm: x = norm(x + f(x))
    const Value seen = x + attend(fmt::format("encoder/{}/attention", i), x, x);
    x = norm(fmt::format("encoder/{}/norm1", i), seen);
    const Value sum = x + forward(fmt::format("encoder/{}/feed", i), x);
    x = norm(fmt::format("encoder/{}/norm2", i), sum);
    expected.insert(expected.end(), {seen, sum});
  }
  expected.pop_back();    // no expensive op after it on the path to the encoder's output,
  expected.push_back(x);  // which is kept
  for (int i = 0; i < 3; ++i) {
    const Value self = y + attend(fmt::format("decoder/{}/self", i), y, y);
    y = norm(fmt::format("decoder/{}/norm1", i), self);
    const Value cross = y + attend(fmt::format("decoder/{}/cross", i), y, x);
    y = norm(fmt::format("decoder/{}/norm2", i), cross);
    const Value sum = y + forward(fmt::format("decoder/{}/feed", i), y);
    y = norm(fmt::format("decoder/{}/norm3", i), sum);
    expected.insert(expected.end(), {self, cross, sum});
  }
  const Value out = nn::Linear(graph, "head", {.in = 16, .out = 7})(y);
  const Step step = training_step(Loss(sum(out * out)));
  Step kept = step;
  for (const Gradient& gradient : step.gradients) kept.set_fetch("d " + gradient.parameter.name(), gradient.value);

  const remat::RematGraph lowered(kept);
  const remat::Blocks blocks = remat::find_blocks(lowered);
  for (int s : blocks.aside) UNSCOPED_INFO("aside: " << lowered.step.graph.value(lowered.at(s).owner).name());
  REQUIRE(blocks.aside.size() == 1);
  CHECK(lowered.at(blocks.aside.front()).owner == lowered.step.find(x).ref());
  std::vector<std::string> found, wanted;
  for (int s : blocks.every(1)) found.push_back(lowered.step.graph.value(lowered.at(s).owner).name());
  for (const Value& value : expected) wanted.push_back(lowered.step.find(value).name());
  // The embeddings come first: each is a block of its own.
  std::erase_if(found, [](const std::string& name) { return name.starts_with("embed"); });
  CHECK(found == wanted);
}
