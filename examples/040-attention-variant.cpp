// A new variant of attention from parts: each head sees its neighbours and a few global tokens, and learns what a
// distance is worth. Its gradients are checked, it is trained, and its heads are drawn:
//
//   040-attention-variant [PICTURE.svg]
#include <weft/weft.h>

#include <fmt/format.h>

#include <iostream>
#include <random>
#include <string>
#include <vector>

using namespace weft;

namespace {

constexpr std::int64_t batch = 16, length = 24, vocab = 12, width = 32;

struct LocalGlobalConfig {
  std::int64_t width = 0, heads = 1;
  std::int64_t window = 3;  ///< sees keys nearer than this
  std::int64_t global = 1;  ///< the first tokens are seen by all, and see all
  std::int64_t most = 4;    ///< distances beyond share a number
  DType dtype = f32;
};

// Parameters NAME/{query,key,value,out}/.. and NAME/distances [heads, 2 most + 1].
struct LocalGlobalAttention {
  LocalGlobalConfig config;
  nn::Attention attention;
  Value distances;

  LocalGlobalAttention(Graph graph, const std::string& name, const LocalGlobalConfig& options)
      : config(options),
        attention(graph, name, {.width = options.width, .heads = options.heads, .dtype = options.dtype}) {
    const auto scope = graph.scope(name);
    distances =
        graph.parameter("distances", {options.dtype, {options.heads, 2 * options.most + 1}}, init::normal(0, 0.1));
  }

  Value operator()(const Value& x) const {
    return attention(x, {.pairs = pairs::local(config.window) | pairs::global(config.global),
                         .score = modifiers::relative_distances(distances)});
  }
};

// The token two places back is to be said again, and at the first place the token that stands at the end: a task for
// the window, and one for the global token.
struct Batch {
  Tensor tokens = Tensor(i32, {batch, length}), targets = Tensor(i32, {batch, length});

  explicit Batch(std::uint32_t seed) {
    std::mt19937 random(seed);
    for (std::int64_t i = 0; i < batch * length; ++i) {
      tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(random() % vocab);
      targets.data<std::int32_t>()[i] = i % length < 2 ? -100 : tokens.data<std::int32_t>()[i - 2];
    }
    for (std::int64_t b = 0; b < batch; ++b)
      targets.data<std::int32_t>()[b * length] = tokens.data<std::int32_t>()[(b + 1) * length - 1];
  }
  std::vector<Feed> feeds() const { return {{"tokens", tokens}, {"targets", targets}}; }
};

// --- Do its gradients hold? Finite differences in float64, of every parameter. ---------------------------------------

bool check() {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 7, 8});
  const LocalGlobalAttention variant(graph, "variant", {.width = 8, .heads = 2, .window = 2, .most = 2, .dtype = f64});
  std::vector<Value> values = graph.parameters();
  values.push_back(x);
  Tensor drawn(f64, {2, 7, 8});
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(1, 1), 0);
  const GradientCheck result = check_gradients(sum_squares(variant(x)), values, {{"x", drawn}});
  std::cout << result.str() << "\n";
  return result.passed();
}

// --- A model of one layer. -------------------------------------------------------------------------------------------

struct Model {
  Graph graph;
  Value logits;
  Loss loss;
  Value seen;  ///< what attention gives: its weights are drawn

  Model() {
    const Dim n = graph.dim("batch", batch);
    const Value tokens = graph.input("tokens", i32, {n, length}), targets = graph.input("targets", i32, {n, length});
    const nn::Embedding table(graph, "table", {.count = vocab, .width = width, .init = init::normal(0, 0.5)});
    const nn::LearnedPositions positions(graph, "positions",
                                         {.longest = length, .width = width, .init = init::normal(0, 0.5)});
    const LocalGlobalAttention attend(graph, "attention", {.width = width, .heads = 4});
    const nn::LayerNorm norm(graph, "norm", {.width = width});
    const nn::FeedForward feed_forward(graph, "feed_forward", {.width = width, .hidden = 64});
    const nn::Linear words(graph, "words", {.in = width, .out = vocab});
    Value x = positions(table(tokens));
    x = x + attend(norm(x));
    x = x + feed_forward(x);
    logits = words(x);
    loss = cross_entropy(logits, targets, {.ignore_index = -100});
  }
};

}  // namespace

int main(int count, char** arguments) {
  if (!check()) return 1;

  const Model model;
  const Step step = training_step(model.loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2}));
  std::cout << audit(step) << "\n";
  Store store(step, {.seed = 1});
  Program train(step, store);
  double loss = 0;
  for (std::uint32_t s = 0; s < 300; ++s) {
    const Batch data(s);
    loss = train.run(data.feeds()).scalar("loss");
    if (s % 50 == 49) std::cout << fmt::format("step {:>3}, loss {:.4f}\n", s + 1, loss);
  }

  // What its heads look at, over one text of a batch.
  const nn::AttentionView view = nn::attention_views({model.logits}).front();
  std::cout << pair_report(view.y).str() << "\n";
  Program look(inference({view.weights}), store);
  const Batch data(1000);
  std::vector<std::string> words;
  for (std::int64_t i = 0; i < length; ++i)
    words.emplace_back(1, static_cast<char>('a' + data.tokens.data<std::int32_t>()[i]));
  const Tensor weights = look.run({{"tokens", data.tokens}}).tensor(view.weights);
  const HeatMap map = heat_map({{.title = view.path, .weights = weights, .rows = words, .columns = words}},
                               {.title = "Local and global attention with learned distances"});
  std::cout << map.str({.digits = true});
  if (count > 1) write_heat_map(arguments[1], map);
  return loss < 0.5 ? 0 : 1;
}
