#include <equivalence/models.h>
#include <support/catch.h>
#include <weft/graph/taps.h>
#include <weft/nn/attention_report.h>
#include <weft/nn/attention_taps.h>
#include <weft/testing/equivalent_to.h>
#include <weft/weft.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>

using namespace weft;
using test::ProofModel, test::small_encoder, test::small_gpt;

namespace {

using Chain = std::vector<Transform>;
Step after(Step step, const Chain& chain) {
  for (const Transform& transform : chain) step = step | transform;
  return step;
}

Chain training_chain() {
  return {scale_loss(dynamic_scale({.start = 64})), accumulate(3), clip_global_norm(0.5),
          optimize(adamw({.rate = 1e-2}))};
}

std::string text_of(const Step& lowered) {
  std::string text;
  for (const NodeId id : lowered.graph.ids())
    text += fmt::format("{} {}\n", lowered.graph.node(id).op->name, lowered.graph.node(id).name);
  return text;
}

// All that a few runs leave behind, as bits: what is published (but taps), then every cell.
std::vector<Tensor> bits_of(const Step& step, const ProofModel& model, const std::vector<std::string>& names) {
  Store store(step, {.seed = 5});
  Program program(step, store, {.effort = Effort::quick});
  std::vector<Tensor> bits;
  for (std::int64_t run = 0; run < 3; ++run) {
    const NamedTensors feeds = random_feeds(step.graph, run, {1, model.options.integers, model.options.padding});
    const Result result = program.run(feeds_of(feeds));
    for (const std::string& name : names) bits.push_back(result.tensor(name).clone());
  }
  for (const auto& [path, cell] : store.cells()) bits.push_back(cell.tensor.clone());
  return bits;
}

void check_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(same_bits(a[i], b[i]));
}

std::vector<std::string> published(const Step& step) {
  std::vector<std::string> names;
  for (const Fetch& fetch : step.fetches) names.push_back(fetch.name);
  return names;
}

std::vector<Tensor> taps_by(const Step& step, const ProofModel& model) { return bits_of(step, model, taps_of(step)); }

// One run of a proof: what is said here holds for each.
EquivalenceOptions once(const ProofModel& model) {
  EquivalenceOptions options = model.options;
  options.runs = 1;
  return options;
}

}  // namespace

TEST_CASE("taps of attention change no bit of a step, wherever they stand in a chain", "[core][nn][inside]") {
  for (const ProofModel& model : {small_gpt(), small_encoder()}) {
    INFO(model.name);
    const Step step = training_step(model.loss);
    for (std::size_t at = 0; at <= training_chain().size(); ++at) {
      INFO("behind " << at << " transforms");
      Chain with = training_chain();
      with.insert(with.begin() + static_cast<std::ptrdiff_t>(at), nn::tap_attention());
      const Step plain = after(step, training_chain()), tapped = after(step, with);
      CHECK(taps_of(tapped).size() == 15);
      check_same(bits_of(plain, model, published(plain)), bits_of(tapped, model, published(plain)));
    }
    CHECK_THAT(step | nn::tap_attention(), EquivalentTo(step, once(model)));
    const Step trained = after(step, training_chain());
    CHECK_THAT(trained | nn::tap_attention(), EquivalentTo(trained, once(model)));
  }
}

TEST_CASE("a step whose taps are removed runs exactly the nodes as before", "[core][nn][inside]") {
  const ProofModel model = small_gpt();
  const Step start = training_step(model.loss);
  const std::vector<std::pair<const char*, Step>> steps{
      {"training_step", start},
      {"optimize", after(start, training_chain())},
      {"mixed_precision", start | mixed_precision(bf16)},
      {"checkpoint", start | optimize(sgd({.rate = 0.1})) | checkpoint(every_block())},
      {"evaluation", evaluation(model.loss)}};
  for (const auto& [name, step] : steps) {
    INFO(name);
    const Step tapped = step | nn::tap_attention(), removed = tapped | remove_taps();
    CHECK(tapped.graph.size() > step.graph.size());
    CHECK(plan(tapped).total_bytes() > plan(step).total_bytes());
    CHECK(text_of(removed) == text_of(step));
    CHECK(text_of(lower(removed)) == text_of(lower(step)));
    CHECK(plan(removed).total_bytes() == plan(step).total_bytes());
    CHECK(plan(removed).str() == plan(step).str());
    CHECK(taps_of(removed).empty());
    CHECK(published(removed) == published(step));
    check_same(bits_of(step, model, published(step)), bits_of(removed, model, published(step)));
  }
  // What came behind the taps is as if they had never been there.
  const Step late = after(start | nn::tap_attention(), training_chain()) | remove_taps(),
             never = after(start, training_chain());
  CHECK(plan(late).total_bytes() == plan(never).total_bytes());
  CHECK(text_of(lower(late)).size() == text_of(lower(never)).size());
  check_same(bits_of(late, model, published(never)), bits_of(never, model, published(never)));
}

TEST_CASE("statistics of micro-batches are those of the whole batch, in both orders", "[core][nn][inside]") {
  for (const ProofModel& model : {small_gpt(), small_encoder()}) {
    INFO(model.name);
    const Step step = training_step(model.loss);
    const nn::AttentionTapOptions options{.sparse_below = 0.2, .block_width = 2, .weights = true};
    const Step whole = step | nn::tap_attention(options);
    const auto expected = taps_by(whole, model);
    for (const Step& cut :
         {step | accumulate(3) | nn::tap_attention(options), step | nn::tap_attention(options) | accumulate(3)}) {
      REQUIRE(taps_of(cut) == taps_of(whole));
      const auto got = taps_by(cut, model);
      REQUIRE(got.size() >= expected.size());
      for (std::size_t i = 0; i < 3 * taps_of(whole).size(); ++i) {
        INFO(taps_of(whole)[i % taps_of(whole).size()]);
        REQUIRE(got[i].extents() == expected[i].extents());
        for (std::int64_t x = 0; x < got[i].size(); ++x) CHECK(got[i].at(x) == Approx(expected[i].at(x)).margin(1e-6));
      }
    }
  }
}

TEST_CASE("an attention that is recomputed is tapped once, under its module's path", "[core][nn][inside]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss) | optimize(sgd({.rate = 0.1})) | checkpoint(nothing_saveable());
  const auto attentions = [](const Step& s) {
    return std::ranges::count_if(s.graph.ids(), [&](NodeId id) { return s.graph.node(id).op == &attention_op(); });
  };
  CHECK(attentions(step) == 2);
  for (const Step& tapped : {step | nn::tap_attention(), evaluation(model.loss) | nn::tap_attention()}) {
    CHECK(taps_of(tapped).size() == 15);
    CHECK(tapped.has_fetch("attention/decoder/0/attention/entropy"));
  }
  // Twice in one scope: by the nodes' own names.
  Graph graph;
  const Value x = graph.input("x", f32, {2, 3, 8});
  const nn::CausalSelfAttention module(graph, "mixer", {.width = 8, .heads = 2});
  const Step twice = fetching({module(module(x))}) | nn::tap_attention();
  CHECK(twice.has_fetch("attention/mixer/attention/entropy"));
  CHECK(twice.has_fetch("attention/mixer/attention_1/entropy"));
}

TEST_CASE("taps of some heads are those heads of all", "[core][nn][inside]") {
  const ProofModel model = small_gpt();
  const Step step = evaluation(model.loss);
  const Step all = step | nn::tap_attention(), one = step | nn::tap_attention({.of = {{"decoder/*/attention", {1}}}});
  Store store(step, {.seed = 5});
  Program whole(all, store), part(one, store);
  const NamedTensors feeds = random_feeds(step.graph, 0, {1, model.options.integers, model.options.padding});
  const Result a = whole.run(feeds_of(feeds)), b = part.run(feeds_of(feeds));
  const nn::AttentionReport report = nn::attention_report(b, one);
  REQUIRE(report.layers.size() == 1);
  REQUIRE(report.layers[0].heads.size() == 1);
  CHECK(report.layers[0].heads[0].head == 1);
  CHECK(report.head("decoder/0/attention", 1).entropy ==
        nn::attention_report(a, all).head("decoder/0/attention", 1).entropy);
  CHECK(report.layers[0].diversity == nn::attention_report(a, all).layers[0].diversity);
  CHECK_THROWS_WITH(report.head("decoder/0/attention", 0),
                    ContainsSubstring("head 0 of 'decoder/0/attention' is not in"));
}

TEST_CASE("dominant pattern per head: of heads that are built to have one", "[core][nn][inside]") {
  // Zero queries: the scores are the bias alone. 40 where head h looks, by a pattern a head; the last one looks
  // nowhere.
  constexpr std::int64_t time = 8, heads = 6;
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 3), time, heads, 4});
  const auto looks = [](std::int64_t h, std::int64_t i, std::int64_t j) {
    switch (h) {
      case 0:
        return j == i;
      case 1:
        return j == std::max<std::int64_t>(0, i - 1);
      case 2:
        return j == 0;
      case 3:
        return j / 4 == i / 4;  // evenly over its block
      case 4:
        return false;
      default:
        return j == (i + 4) % time;  // far away
    }
  };
  Constant bias{{f32, {heads, time, time}}, std::vector<std::byte>(static_cast<std::size_t>(4 * heads * time * time))};
  auto* values = reinterpret_cast<float*>(bias.bytes.data());
  for (std::int64_t n = 0; n < heads * time * time; ++n)
    values[n] = looks(n / time / time, n / time % time, n % time) ? 40.0F : 0.0F;
  const Value y = attention(x * 0.0, x, x, {.bias = graph.constant(bias)});
  const Step step = fetching({y}) | nn::tap_attention({.block_width = 4});
  Store store(step);
  Program program(step, store);
  Tensor fed(f32, {3, time, heads, 4});
  for (std::int64_t n = 0; n < fed.size(); ++n) fed.data<float>()[n] = 0.1F * static_cast<float>(n % 7);
  const nn::AttentionReport report = nn::attention_report(program.run({{"x", fed}}), step);
  const HeadPattern expected[] = {HeadPattern::diagonal, HeadPattern::previous, HeadPattern::first, HeadPattern::block,
                                  HeadPattern::uniform};
  for (std::int64_t h = 0; h < 5; ++h) {
    INFO(h);
    const nn::HeadReport& head = report.head("attention", h);
    CHECK(head.dominant() == expected[h]);
    CHECK(head.strength() == Approx(1).epsilon(1e-5));
  }
  CHECK(report.head("attention", 5).strength() < 0.3);
  CHECK(report.head("attention", 3).entropy == Approx(std::log(4.0)).epsilon(1e-5));
  CHECK_THAT(report.str(), ContainsSubstring("previous") && ContainsSubstring("diversity"));
  const auto json = nlohmann::json::parse(report.json());
  CHECK(json["layers"][0]["path"] == "attention");
  CHECK(json["layers"][0]["heads"][1]["pattern"] == "previous");
  CHECK(json["layers"][0]["heads"][2]["shares"]["first"].get<double>() == Approx(1));
}

TEST_CASE("a head that learned to copy the token before is found to look there, and to matter", "[core][nn][inside]") {
  constexpr std::int64_t batch = 16, time = 10, vocab = 8;
  Graph graph;
  const Dim n = graph.dim("batch", batch);
  const Value tokens = graph.input("tokens", i32, {n, time}), targets = graph.input("targets", i32, {n, time});
  const nn::Gpt model(graph, {.vocab = vocab, .layers = 1, .heads = 2, .width = 16, .context = time, .deviation = 0.2});
  const Loss loss = cross_entropy(model(tokens), targets);
  const Step step =
      training_step(loss) | optimize(adamw({.rate = 2e-2})) | nn::tap_attention() | gate_importance(nn::heads());
  Store store(step, {.seed = 1});
  Program program(step, store);
  const auto run = [&](std::uint32_t seed) {
    Tensor x(i32, {batch, time}), y(i32, {batch, time});
    for (std::int64_t i = 0; i < x.size(); ++i) {
      seed = seed * 1664525U + 1013904223U;
      x.data<std::int32_t>()[i] = static_cast<std::int32_t>(seed >> 29U);
      y.data<std::int32_t>()[i] = i % time == 0 ? -100 : x.data<std::int32_t>()[i - 1];
    }
    return program.run({{"tokens", x}, {"targets", y}});
  };
  const nn::AttentionReport first = nn::attention_report(run(1), step);
  for (const nn::HeadReport& head : first.layers[0].heads) CHECK(head.strength() < 0.9);
  for (std::uint32_t s = 2; s < 150; ++s) run(s * 977);
  const Result result = run(4711);
  CHECK(result.scalar("loss") < 0.1);
  nn::HeadImportance importance;
  importance.add(result, step);
  const nn::RankedHead most = importance.ranked().front();
  const nn::AttentionReport last = nn::attention_report(result, step);
  const nn::HeadReport& head = last.head(most.path, most.head);
  INFO(last.str() << importance.str());
  CHECK(head.dominant() == HeadPattern::previous);
  CHECK(head.strength() > 0.7);
}

TEST_CASE("a head that is a pattern in part is named by its larger part", "[core][nn][inside]") {
  // a pattern + (1 - a) uniform over n keys of which the pattern holds one, or its block four.
  const auto mixture = [](std::size_t pattern, double a) {
    nn::HeadReport head;
    const double chances[] = {0.1, 0.1, 0.1, 0.4, 0.1};
    for (std::size_t p = 0; p < 5; ++p) {
      head.chance[p] = chances[p];
      const bool holds = p == pattern || (p == 3 && pattern == 0);
      head.share[p] = holds ? a + (1 - a) * chances[p] : (1 - a) * chances[p];
    }
    head.share[4] = 1 - a * 0.9;
    return head;
  };
  for (const std::size_t pattern : {0, 1, 2, 3}) {
    CHECK(mixture(pattern, 0.8).dominant() == head_patterns[pattern]);
    CHECK(mixture(pattern, 0.2).dominant() == HeadPattern::uniform);
  }
  nn::HeadReport nothing;  // no query counts
  nothing.share.fill(std::nan(""));
  nothing.chance.fill(std::nan(""));
  CHECK(std::isnan(nothing.strength()));
}

TEST_CASE("entropies and largest weights of attention are PyTorch's", "[core][nn][inside]") {
  std::ifstream file(std::string(WEFT_TESTS_DIR) + "/nn/data/heads.json");
  const auto stored = nlohmann::json::parse(file);
  constexpr std::int64_t batch = 3, time = 6, heads = 4, width = 8;
  const auto filled = [](Tensor::Extents extents, double a, double b, double scale = 1) {
    Tensor tensor(f64, std::move(extents));
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data<double>()[i] = scale * std::sin(a + b * static_cast<double>(i));
    return tensor;
  };
  const Tensor x = filled({batch, time, width}, 0.2, 2.1), weight = filled({3 * width, width}, 0.3, 1.7, 1.2),
               bias = filled({3 * width}, 0.1, 2.9, 0.5);
  for (const auto& entry : stored["entropies"]) {
    const std::string kind = entry["kind"];
    INFO(kind);
    Graph graph;
    const Value in = graph.input("x", f64, {batch, time, width}), w = graph.input("w", f64, {3 * width, width}),
                b = graph.input("b", f64, {3 * width}), lengths = graph.input("lengths", i64, {batch});
    const auto parts = split(linear(in, w, b), 3, -1);
    const auto of_heads = [&](const Value& v) { return reshape(v, {batch, time, heads, width / heads}); };
    AttentionOptions options{.causal = kind == "causal"};
    if (kind == "padded") options.lengths = lengths;
    const HeadWeights of = head_weights(attention(of_heads(parts[0]), of_heads(parts[1]), of_heads(parts[2]), options));
    const Tensor keys = Tensor::of<std::int64_t>({batch}, {6, 4, 1});
    std::vector<Feed> feeds{{"x", x}, {"w", weight}, {"b", bias}};
    if (kind == "padded") feeds.emplace_back("lengths", keys);
    const auto got = evaluate({head_entropy(of).value(), head_peak(of).value()}, feeds);
    for (std::int64_t h = 0; h < heads; ++h) {
      CHECK(got[0].at(h) == Approx(entry["entropy"][static_cast<std::size_t>(h)].get<double>()).epsilon(1e-9));
      CHECK(got[1].at(h) == Approx(entry["peak"][static_cast<std::size_t>(h)].get<double>()).epsilon(1e-9));
    }
  }
}

TEST_CASE("taps say what there is nothing to look at", "[core][nn][inside][errors]") {
  const ProofModel model = small_gpt();
  const Step step = training_step(model.loss), plain = training_step(test::small_regression().loss);
  CHECK_THROWS_WITH(plain | nn::tap_attention(),
                    ContainsSubstring("attention_taps_test.cpp:") && ContainsSubstring("this step has no attention"));
  CHECK_THROWS_WITH(step | nn::tap_attention({.of = {{"encoder/**"}}}),
                    ContainsSubstring("the pattern 'encoder/**' matches no attention; hint: the first of 1 is "
                                      "'decoder/0/attention'"));
  CHECK_THROWS_WITH(step | nn::tap_attention({.of = {{"**", {0, 2}}}}),
                    ContainsSubstring("'decoder/0/attention' has the heads 0 to 1, got 2"));
  CHECK_THROWS_WITH(step | nn::tap_attention({.of = {}}), ContainsSubstring("needs a selection, got none"));
  CHECK_THROWS_WITH(
      step | nn::tap_attention() | nn::tap_attention(),
      ContainsSubstring("publishes 'attention/decoder/0/attention/") && ContainsSubstring("remove_taps()"));
  CHECK_THROWS_WITH(step | remove_taps(), ContainsSubstring("nothing taps this step"));
  CHECK_THROWS_WITH(step | nn::tap_attention({.sparse_below = 0}), ContainsSubstring("(0, 1], got 0"));
  Store store(step, {.seed = 5});
  Program program(step, store);
  const NamedTensors feeds = random_feeds(step.graph, 0, {1, model.options.integers, model.options.padding});
  const Result result = program.run(feeds_of(feeds));
  CHECK_THROWS_WITH(nn::attention_report(result, step), ContainsSubstring("no attention of this step is tapped"));
  CHECK_THROWS_WITH(nn::attention_report(result, step | nn::tap_attention()),
                    ContainsSubstring("give the step that ran"));
}
