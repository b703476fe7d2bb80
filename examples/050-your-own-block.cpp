// A block of your own: attention and feed-forward side by side, x + attention(norm(x)) + mlp(norm(x)), as in GPT-J
// (Wang & Komatsuzaki 2021) and PaLM (Chowdhery et al. 2022, arXiv:2204.02311, section 2). It is checked, then trained.
#include <weft/weft.h>

#include <fmt/format.h>

#include <iostream>
#include <random>
#include <string>
#include <vector>

using namespace weft;

namespace {

struct ParallelBlockConfig {
  std::int64_t width = 0, heads = 1;
  double dropout = 0;
  DType dtype = f32;
};

// Parameters NAME/{norm,attention,mlp}/... One norm feeds both branches, and no bias: as PaLM's. Positions are
// rotations of queries and keys (Su et al. 2021), as GPT-J's.
struct ParallelBlock {
  std::string name;
  nn::Dropout dropout;
  nn::LayerNorm norm;
  nn::Attention attention;
  nn::FeedForward mlp;

  ParallelBlock(Graph graph, std::string path, const ParallelBlockConfig& config,
                std::source_location where = std::source_location::current())
      : name(std::move(path)), dropout{config.dropout} {
    const auto scope = graph.scope(name, where);  // a failure in here names the user's line
    norm = nn::LayerNorm(graph, "norm", {.width = config.width, .bias = false, .dtype = config.dtype}, where);
    attention =
        nn::Attention(graph, "attention",
                      {.width = config.width, .heads = config.heads, .bias = false, .dtype = config.dtype}, where);
    mlp = nn::FeedForward(graph, "mlp", {.width = config.width, .bias = false, .dtype = config.dtype}, where);
  }

  // x [batch, time, width] -> the same.
  Value operator()(const Arg& x) const {
    const auto scope = norm.weight.graph().scope(name, x.where());
    const Value h = norm(x);
    nn::AttentionHeads heads = attention.project(h);
    heads.q = rotary(heads.q), heads.k = rotary(heads.k);
    return x + dropout(attention.attend(heads, {.causal = true})) + dropout(mlp(h));
  }
};

// --- Is it right? ----------------------------------------------------------------------------------------------------

// Its shape, its gradients against finite differences in float64, and that no place sees what comes after it.
bool check_block() {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 5, 8});
  const ParallelBlock block(graph, "block", {.width = 8, .heads = 2, .dtype = f64});
  const Value y = block(x);
  std::cout << "x " << x.type().str() << " -> " << y.type().str() << "\n";

  std::vector<Value> values = graph.parameters();
  values.push_back(x);
  Tensor drawn(f64, {2, 5, 8});
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(1, 1), 0);
  const GradientCheck gradients = check_gradients(y, values, {{"x", drawn}});
  std::cout << gradients.str() << "\n";

  // d y[:, 1] / d x[:, 2 ..] must be 0: what lies ahead is not seen.
  const Value seen = sum_squares(slice(y, {.axis = 1, .start = 1, .stop = 2}));
  const Value ahead = sum_squares(slice(gradient(seen, {x}).front(), {.axis = 1, .start = 2, .stop = 5}));
  const double leak = evaluate(ahead, {{"x", drawn}}).item();
  std::cout << "what place 1 gets from the places behind it: " << leak << "\n";
  return y.type() == x.type() && gradients.passed() && leak == 0;
}

// --- A model of it ---------------------------------------------------------------------------------------------------

constexpr std::int64_t batch = 16, length = 12, vocab = 16, width = 32;

struct Model {
  Graph graph;
  Loss loss;

  explicit Model(double dropout = 0) {
    const Dim n = graph.dim("batch", batch);
    const Value tokens = graph.input("tokens", i32, {n, length}), targets = graph.input("targets", i32, {n, length});
    const nn::Embedding table(graph, "table", {.count = vocab, .width = width, .init = init::normal(0, 0.5)});
    Value x = table(tokens);
    for (int layer = 0; layer < 2; ++layer)
      x = ParallelBlock(graph, fmt::format("block/{}", layer), {.width = width, .heads = 4, .dropout = dropout})(x);
    const nn::LayerNorm norm(graph, "norm", {.width = width});
    loss = cross_entropy(linear(norm(x), table.weight), targets, {.ignore_index = -100});  // tied weights
  }
};

// Do the transforms keep its meaning? All of them are checked against the plain step, dropout included.
bool check_transforms() {
  const Model model(0.1);
  const Step plain = training_step(model.loss);
  const Step full = plain | mixed_precision(bf16) | accumulate(4) | checkpoint(every_block());
  const Equivalence result = verify_equivalent(
      plain, full, {.integers = {{"tokens", vocab}, {"targets", vocab}}, .padding = {{"targets", -100}}});
  std::cout << result.str() << "\n";
  return result.passed();
}

// --- Does it learn? The token two places back is to be said again. ---

struct Batch {
  Tensor tokens = Tensor(i32, {batch, length}), targets = Tensor(i32, {batch, length});

  explicit Batch(std::uint32_t seed) {
    std::mt19937 random(seed);
    for (std::int64_t i = 0; i < batch * length; ++i) {
      tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(random() % vocab);
      targets.data<std::int32_t>()[i] = i % length < 2 ? -100 : tokens.data<std::int32_t>()[i - 2];
    }
  }
};

bool train() {
  const Model model;
  const Step step = training_step(model.loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2}));
  std::cout << audit(step) << "\n";
  Store store(step, {.seed = 1});
  Program program(step, store);
  double loss = 0;
  for (std::uint32_t i = 0; i < 150; ++i) {
    const Batch data(i);
    loss = program.run({{"tokens", data.tokens}, {"targets", data.targets}}).scalar("loss");
    if (i % 50 == 49) std::cout << fmt::format("step {:>3}, loss {:.4f}\n", i + 1, loss);
  }
  return loss < 0.2;
}

}  // namespace

int main() { return check_block() && check_transforms() && train() ? 0 : 1; }
