#include <weft/autodiff/attention_policy.h>
#include <weft/autodiff/checkpoint.h>
#include <weft/autodiff/gradient.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/optim/fetch_gradients.h>
#include <weft/optim/training_step.h>
#include <weft/runtime/memory/plan.h>
#include <weft/runtime/program.h>

#include <support/catch.h>

#include <cmath>

using namespace weft;

namespace {

// A step of one attention as its user builds it.
struct Real {
  Graph graph;
  Value y, d_y;
  std::vector<Value> wanted;

  Real(const AttentionCase& c, AttentionOptions options) {
    const std::int64_t keys = c.keys == 0 ? c.time : c.keys, kv = c.kv_heads == 0 ? c.heads : c.kv_heads;
    const std::int64_t value_width = c.value_width == 0 ? c.width : c.value_width;
    const Value q = graph.input("a", c.dtype, {c.batch, c.time, c.heads, c.width});
    const Value k = graph.input("b", c.dtype, {c.batch, keys, kv, c.width});
    const Value v = graph.input("c", c.dtype, {c.batch, keys, kv, value_width});
    options.causal = c.causal;
    options.dropout = c.dropout;
    y = attention(q, k, v, options);
    wanted = {y};
    if (!c.training) return;
    d_y = graph.input("d", c.dtype, y.shape());
    for (const Value& d : vector_jacobian({y}, {d_y}, {q, k, v})) wanted.push_back(d);
  }
  Plan planned(int threads) const { return plan(fetching(wanted), {.threads = threads}); }
};

const AttentionCase shapes[] = {
    {.batch = 2, .heads = 3, .width = 8, .time = 40},
    {.batch = 1, .heads = 12, .width = 64, .time = 1024},
    {.batch = 1, .heads = 12, .width = 64, .time = 1024, .causal = false, .training = false},
    {.batch = 2, .heads = 8, .kv_heads = 2, .width = 32, .value_width = 16, .time = 200, .keys = 900, .dropout = 0.1},
    {.batch = 3, .heads = 4, .width = 16, .time = 300, .dtype = bf16},
    {.batch = 1, .heads = 2, .width = 16, .time = 2000, .dtype = f64, .training = false},
    {.batch = 1, .heads = 16, .kv_heads = 1, .width = 128, .time = 1, .keys = 8192, .training = false},
};

// Gradients through `layers` attentions, all of whose forward passes come before the first backward pass. Beside what
// the advice speaks of it holds v of each layer and d_y, which is one tensor for all.
Step stacked(const AttentionCase& c) {
  Graph graph;
  Value total;
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const auto scope = graph.scope(fmt::format("{}", i));
    const auto input = [&](const char* name) {
      return graph.input(fmt::format("{}{}", name, i), c.dtype, {c.batch, c.time, c.heads, c.width});
    };
    const Value factor = graph.parameter("factor", {c.dtype, {}}, init::constant(1));
    const Value y = attention(input("q"), input("k"), input("v") * factor, {.causal = c.causal});
    total = total.absent() ? sum(y) : total + sum(y);
  }
  return training_step(square(total)) | fetch_gradients();
}

}  // namespace

TEST_CASE("the bytes of an advice are those of a plan of the same attention, to the byte",
          "[core][autodiff][attention_policy]") {
  for (const AttentionCase& c : shapes)
    for (const int threads : {1, 4}) {
      const AttentionAdvice advice = attention_advice(c, {.approximate = true, .window = 32, .threads = threads});
      INFO(advice);
      CHECK(advice.candidate(AttentionStrategy::block_wise).bytes == Real(c, {}).planned(threads).arena_bytes);
      CHECK(advice.candidate(AttentionStrategy::local).bytes == Real(c, {.window = 32}).planned(threads).arena_bytes);
      // A modifier that changes nothing makes attention() take its plain definition.
      CHECK(advice.candidate(AttentionStrategy::plain).bytes ==
            Real(c, {.method = AttentionMethod::plain}).planned(threads).arena_bytes);
    }
}

TEST_CASE("what attention keeps: block-wise y and the logsumexp in two parts, plain at least the weights",
          "[core][autodiff][attention_policy]") {
  for (const AttentionCase& c : shapes) {
    const AttentionAdvice advice = attention_advice(c);
    INFO(advice);
    const auto rows = static_cast<std::size_t>(c.batch * c.heads * c.time);
    const auto width = static_cast<std::size_t>(c.value_width == 0 ? c.width : c.value_width);
    const auto keys = static_cast<std::size_t>(c.keys == 0 ? c.time : c.keys);
    const std::size_t wide = c.dtype == f64 ? 8 : 4;
    if (!c.training) {
      for (const auto& candidate : advice.candidates) CHECK(candidate.kept_bytes == 0);
      continue;
    }
    CHECK(advice.candidate(AttentionStrategy::block_wise).kept_bytes ==
          aligned(rows * width * size_of(c.dtype)) + 2 * aligned(rows * wide));
    CHECK(advice.candidate(AttentionStrategy::local).kept_bytes ==
          advice.candidate(AttentionStrategy::block_wise).kept_bytes);
    CHECK(advice.candidate(AttentionStrategy::checkpointed).kept_bytes == 0);
    CHECK(advice.candidate(AttentionStrategy::plain).kept_bytes >= rows * keys * wide);
  }
}

TEST_CASE("the bytes of several layers are those of a training step, kept and recomputed, but for a few scalars",
          "[core][autodiff][attention_policy]") {
  const AttentionCase c{.batch = 2, .heads = 4, .width = 16, .time = 256, .layers = 6};
  const AttentionAdvice advice = attention_advice(c, {.threads = 2});
  INFO(advice);
  const Step kept = stacked(c);
  const Step again = kept | checkpoint({.recompute = {"*/attention"}});
  const auto beside = [&](const Step& step, AttentionStrategy strategy) {
    return static_cast<std::int64_t>(plan(step, {.threads = 2}).arena_bytes) -
           static_cast<std::int64_t>(advice.candidate(strategy).bytes);
  };
  const std::int64_t tensors = (c.layers + 1) * c.batch * c.time * c.heads * c.width * 4;
  for (const std::int64_t bytes :
       {beside(kept, AttentionStrategy::block_wise), beside(again, AttentionStrategy::checkpointed)}) {
    CHECK(bytes >= tensors);
    CHECK(bytes <= tensors + 1024);
  }
  CHECK(advice.candidate(AttentionStrategy::checkpointed).bytes <
        advice.candidate(AttentionStrategy::block_wise).bytes / 3 * 2);
}

TEST_CASE("operations are those of the products over the pairs that are seen", "[core][autodiff][attention_policy]") {
  const AttentionCase c{.batch = 2, .heads = 3, .width = 8, .value_width = 5, .time = 30, .keys = 50};
  const AttentionAdvice advice = attention_advice(c, {.approximate = true, .window = 7});
  double causal = 0, local = 0;
  for (int i = 0; i < 30; ++i)
    for (int j = 0; j < 50; ++j) {
      if (j <= i + 20) ++causal;
      if (j <= i + 20 && std::abs(i + 20 - j) < 7) ++local;
    }
  const double each = 2 * 2 * 3;  // a multiplication and an addition, batch, heads
  CHECK(advice.candidate(AttentionStrategy::block_wise).flops == each * causal * (8 + 5 + 3 * 8 + 2 * 5));
  CHECK(advice.candidate(AttentionStrategy::checkpointed).flops == each * causal * (2 * (8 + 5) + 3 * 8 + 2 * 5));
  CHECK(advice.candidate(AttentionStrategy::local).flops == each * local * (8 + 5 + 3 * 8 + 2 * 5));
  CHECK(advice.candidate(AttentionStrategy::plain).flops == each * 30 * 50 * (8 + 5 + 2 * 8 + 2 * 5));
  // As the op's own cost says where everything is seen.
  const Real real({.batch = 2, .heads = 3, .width = 8, .time = 30, .causal = false, .training = false}, {});
  const auto view = real.graph.view(real.y.node());
  CHECK(attention_advice({.batch = 2, .heads = 3, .width = 8, .time = 30, .causal = false, .training = false})
            .candidate(AttentionStrategy::block_wise)
            .flops == cost_of(view->view).flops);
}

TEST_CASE("long-sequence advice: without a byte budget the length decides, by thresholds that have names",
          "[core][autodiff][attention_policy]") {
  CHECK(checkpoint_over_keys == 512);
  CHECK(sparse_over_keys == 1024);
  const auto chosen = [](std::int64_t time, bool training, bool approximate) {
    return attention_advice({.heads = 2, .width = 16, .time = time, .training = training}, {.approximate = approximate})
        .strategy;
  };
  for (const bool approximate : {false, true})
    for (const bool training : {false, true}) {
      CHECK(chosen(8, training, approximate) == AttentionStrategy::block_wise);
      CHECK(chosen(512, training, approximate) == AttentionStrategy::block_wise);
      CHECK(chosen(513, training, approximate) ==
            (training ? AttentionStrategy::checkpointed : AttentionStrategy::block_wise));
      CHECK(chosen(1024, training, approximate) ==
            (training ? AttentionStrategy::checkpointed : AttentionStrategy::block_wise));
      CHECK(chosen(1025, training, approximate) == (approximate ? AttentionStrategy::local
                                                    : training  ? AttentionStrategy::checkpointed
                                                                : AttentionStrategy::block_wise));
    }
  const AttentionAdvice advice = attention_advice({.heads = 2, .width = 16, .time = 2048}, {.approximate = true});
  CHECK(advice.options({.soft_cap = 5}).window == local_window);
  CHECK(advice.options({.soft_cap = 5}).soft_cap == 5);
  CHECK(advice.options().causal);
  CHECK_FALSE(advice.recompute());
  // Thresholds of one's own.
  CHECK(attention_advice({.heads = 2, .width = 16, .time = 100}, {.checkpoint_over = 80}).recompute());
}

TEST_CASE(
    "long-sequence advice: with a byte budget the first exact strategy that fits is taken, and the advice says what "
    "did not",
    "[core][autodiff][attention_policy]") {
  const AttentionCase c{.batch = 1, .heads = 4, .width = 32, .time = 700, .layers = 8};
  const AttentionAdvice free = attention_advice(c, {.threads = 2});
  const auto bytes = [&](AttentionStrategy strategy) {
    return static_cast<std::int64_t>(free.candidate(strategy).bytes);
  };
  const std::int64_t blocks = bytes(AttentionStrategy::block_wise), again = bytes(AttentionStrategy::checkpointed);
  REQUIRE(again < blocks);
  const auto with = [&](std::int64_t budget) {
    return attention_advice(c, {.bytes = budget, .approximate = true, .threads = 2});
  };
  CHECK(with(blocks).strategy == AttentionStrategy::block_wise);
  const AttentionAdvice less = with(blocks - 1);
  CHECK(less.strategy == AttentionStrategy::checkpointed);
  CHECK(less.fits);
  CHECK_THAT(less.why,
             ContainsSubstring("the first that fits") && ContainsSubstring("block-wise: 1 B over the budget") &&
                 ContainsSubstring("plain: more than 64 keys") && ContainsSubstring(fmt::format("({} B", again)));
  const AttentionAdvice none = with(again - 1000);
  CHECK_FALSE(none.fits);
  CHECK(none.strategy == AttentionStrategy::checkpointed);
  CHECK_THAT(none.why, ContainsSubstring("nothing fits") && ContainsSubstring("1000 B over the budget"));
}

TEST_CASE("short sequences are plain where that takes fewer bytes than a workspace for each of many threads",
          "[core][autodiff][attention_policy]") {
  AttentionCase c{.batch = 8, .heads = 4, .width = 32, .time = 32, .training = false};
  const AttentionAdvice free = attention_advice(c, {.threads = 16});
  CHECK(free.strategy == AttentionStrategy::block_wise);
  const std::size_t bytes = free.candidate(AttentionStrategy::plain).bytes;
  REQUIRE(bytes < free.candidate(AttentionStrategy::block_wise).bytes);
  const AttentionAdvice tight = attention_advice(c, {.bytes = static_cast<std::int64_t>(bytes), .threads = 16});
  CHECK(tight.strategy == AttentionStrategy::plain);
  CHECK(tight.fits);
  CHECK_THAT(tight.why, ContainsSubstring("block-wise: ") && ContainsSubstring("over the budget"));
  c.time = plain_up_to_keys + 1;
  CHECK_FALSE(attention_advice(c, {.threads = 16}).candidate(AttentionStrategy::plain).refused.empty());
}

TEST_CASE(
    "long-sequence advice: a budget of operations gives the widest window that fits, and only where that is allowed",
    "[core][autodiff][attention_policy]") {
  const AttentionCase c{.batch = 1, .heads = 4, .width = 32, .time = 1000};
  const double whole = attention_advice(c).candidate(AttentionStrategy::block_wise).flops;
  const AttentionAdvice advice = attention_advice(c, {.flops = 0.5 * whole, .approximate = true});
  INFO(advice);
  REQUIRE(advice.strategy == AttentionStrategy::local);
  CHECK(advice.fits);
  const std::int64_t window = advice.chosen().window;
  CHECK(window % 64 == 0);
  CHECK(advice.chosen().flops <= 0.5 * whole);
  CHECK(attention_advice(c, {.approximate = true, .window = window + 64}).candidate(AttentionStrategy::local).flops >
        0.5 * whole);
  // Recomputing is over the budget, keeping is not: the rule of thumb gives way.
  CHECK(attention_advice(c, {.flops = whole}).strategy == AttentionStrategy::block_wise);
  const AttentionAdvice exact = attention_advice(c, {.flops = 0.5 * whole});
  CHECK_FALSE(exact.fits);
  CHECK(exact.strategy == AttentionStrategy::block_wise);
}

TEST_CASE("an advice reads as a table and as sentences with numbers", "[core][autodiff][attention_policy]") {
  const AttentionAdvice advice = attention_advice({.batch = 1, .heads = 12, .width = 64, .time = 2048, .layers = 12});
  const std::string text = advice.str();
  CHECK_THAT(text,
             ContainsSubstring("attention 1 x 2048 queries x 2048 keys, 12 heads of 64, 12 layers, f32, training\n"));
  CHECK_THAT(text, ContainsSubstring("\n> block-wise, checkpointed "));
  CHECK_THAT(text, ContainsSubstring("more than 64 keys: a buffer of all scores\n"));
  CHECK_THAT(advice.why,
             StartsWith("block-wise, checkpointed: 2048 keys are over 512, from where on") &&
                 ContainsSubstring("over 1024 a local window would be taken (leaves keys out, which is not allowed)") &&
                 ContainsSubstring(fmt::format("({} B, of which each layer keeps 0 B", advice.chosen().bytes)) &&
                 ContainsSubstring("GFLOP"));
}

TEST_CASE("a case that is no attention is refused", "[core][autodiff][attention_policy][errors]") {
  CHECK_THROWS_WITH(attention_advice({}), ContainsSubstring("time must be positive, got 0"));
  CHECK_THROWS_WITH(attention_advice({.heads = -1, .time = 4}), ContainsSubstring("heads must be positive, got -1"));
  CHECK_THROWS_WITH(attention_advice({.heads = 4, .kv_heads = 3, .time = 4}),
                    ContainsSubstring("kv_heads must divide heads, got 3 and 4"));
  CHECK_THROWS_WITH(attention_advice({.time = 4, .dtype = i64}), ContainsSubstring("floating type, got i64"));
  CHECK_THROWS_WITH(attention_advice({.time = 4}, {.window = 0}), ContainsSubstring("window must be positive, got 0"));
}
