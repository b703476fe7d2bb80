// Outside oracle: PyTorch's gradients of the same models, in f64 and under CPU autocast (data/mixed_precision.py).
#include <support/catch.h>

#include <weft/weft.h>

#include <cmath>
#include <fstream>
#include <map>

using namespace weft;

namespace {

constexpr std::int64_t batch = 4, time_steps = 8, width = 16, heads = 2, hidden = 32, vocab = 13;

// data/mixed_precision.py's Generator.
class Generator {
 public:
  explicit Generator(std::uint64_t draw) : state_(draw) {}
  std::uint64_t next() {
    state_ = (state_ * 1103515245 + 12345) % (std::uint64_t{1} << 31U);
    return state_ >> 8U;
  }
  void fill(Tensor tensor, double scale, double mean) {
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data<float>()[i] = static_cast<float>(mean + (static_cast<double>(next() % 1024) - 512) / 512 * scale);
  }
  Tensor ids() {
    Tensor ids(i64, {batch, time_steps});
    for (std::int64_t i = 0; i < ids.size(); ++i)
      ids.data<std::int64_t>()[i] = static_cast<std::int64_t>(next() % vocab);
    return ids;
  }

 private:
  std::uint64_t state_;
};

struct Expected {
  std::vector<double> exact;
  double error_bf16 = 0, error_f16 = 0;  // 2-norms
};
struct Case {
  double loss = 0;
  std::vector<std::string> paths;  // as drawn from the generator
  std::map<std::string, Expected> gradients;
  std::vector<double> draws_bf16, draws_f16;  // errors of other draws, from 2 on
};

Case read(const std::string& wanted) {
  std::ifstream file(WEFT_TESTS_DIR "/optim/data/mixed_precision.txt");
  std::string word, name;
  std::size_t count = 0;
  Case found;
  while (file >> word >> name >> count >> found.loss) {
    REQUIRE(word == "model");
    found.gradients.clear();
    found.paths.clear();
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t elements = 0;
      Expected expected;
      file >> word >> elements >> expected.error_bf16 >> expected.error_f16;
      expected.exact.resize(elements);
      for (double& value : expected.exact) file >> value;
      found.paths.push_back(word);
      found.gradients[word] = expected;
    }
    file >> word >> count;
    REQUIRE(word == "draws");
    found.draws_bf16.resize(count);
    found.draws_f16.resize(count);
    for (std::size_t i = 0; i < count; ++i) file >> found.draws_bf16[i] >> found.draws_f16[i];
    if (name == wanted) break;
  }
  REQUIRE(name == wanted);
  return found;
}

struct Model {
  Graph graph;
  Value tokens, targets;
  Loss loss;
};

std::pair<double, double> scale_of(const std::string& path) {
  if (path.starts_with("norm") ? !path.ends_with("bias") : path.ends_with("norm/weight")) return {0.25, 1};
  if (path.ends_with("/bias") || path.ends_with("down/weight") || path == "down") return {0.25, 0};
  return {0.5, 0};
}

void add_inputs(Model& model) {
  const Dim b = model.graph.dim("batch", batch), t = model.graph.dim("time", time_steps);
  model.tokens = model.graph.input("tokens", i64, {b, t});
  model.targets = model.graph.input("targets", i64, {b, t});
}

Model gpt() {
  Model model;
  add_inputs(model);
  const nn::Gpt network(
      model.graph,
      {.vocab = vocab, .layers = 2, .heads = heads, .width = width, .context = time_steps, .hidden = hidden});
  model.loss = cross_entropy(network(model.tokens), model.targets);
  return model;
}

Model encoder() {
  Model model;
  add_inputs(model);
  auto parameter = [&](const char* name, Shape shape) {
    return model.graph.parameter(name, {f32, std::move(shape)}, init::zeros());
  };
  const Shape rows{model.tokens.dim(0), model.tokens.dim(1), width};
  const Shape split{model.tokens.dim(0), model.tokens.dim(1), heads, width / heads};
  Value h = embedding(parameter("table", {vocab, width}), model.tokens);
  const Value bias = parameter("bias", {heads, time_steps, time_steps});
  const Value a = rms_norm(h, parameter("norm1", {width}));
  auto projected = [&](const char* name) {
    return reshape(linear(a, parameter(name, {width, width}), Value{}), split);
  };
  const Value mixed = attention(projected("query"), projected("key"), projected("value"),
                                {.bias = bias, .mask = padding_mask(model.tokens, 0)});
  h = h + linear(reshape(mixed, rows), parameter("out", {width, width}), Value{});
  h = h + gated_feed_forward(rms_norm(h, parameter("norm2", {width})), parameter("up", {hidden, width}),
                             parameter("gate", {hidden, width}), parameter("down", {width, hidden}));
  const Value logits = linear(rms_norm(h, parameter("norm3", {width})), parameter("head", {vocab, width}), Value{});
  model.loss = cross_entropy(logits, model.targets, {.ignore_index = 0, .label_smoothing = 0.1});
  return model;
}

// An input of weft is called "tokens" already.
std::string path_of(const std::string& name) { return name == "tokens" ? "table" : name; }

struct Found {
  double loss;
  std::map<std::string, std::vector<double>> gradients;
};

Found run(const Case& expected, Step step, double scale, std::uint64_t draw = 1) {
  for (const Gradient& gradient : std::vector<Gradient>(step.gradients))
    step.set_fetch("d " + gradient.parameter.name(), gradient.value);
  Store store(step);
  Generator generator(draw);
  for (const std::string& path : expected.paths) {
    const auto [spread, mean] = scale_of(path);
    generator.fill(store.tensor(path_of(path)), spread, mean);
  }
  Generator ids(draw);
  const Tensor x = ids.ids(), y = ids.ids();
  Program program(step, store);
  const Result result = program.run({{"tokens", x}, {"targets", y}});
  Found found{result.scalar("loss"), {}};
  for (const std::string& path : expected.paths) {
    const Tensor d = result.tensor("d " + path_of(path));
    CHECK(d.dtype() == f32);
    for (std::int64_t i = 0; i < d.size(); ++i) found.gradients[path].push_back(d.at(i) / scale);
  }
  return found;
}

double norm(const std::vector<double>& x) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  return std::sqrt(squares);
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  std::vector<double> difference(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return norm(difference);
}

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double inner = 0;
  for (std::size_t i = 0; i < a.size(); ++i) inner += a[i] * b[i];
  return inner / (norm(a) * norm(b));
}

}  // namespace

TEST_CASE("bf16 and f16 gradients are as near to PyTorch's f64 gradients as those of PyTorch's autocast",
          "[core][optim][precision]") {
  for (const char* name : {"gpt", "encoder"}) {
    const Case expected = read(name);
    const Model model = std::string(name) == "gpt" ? gpt() : encoder();
    const Step step = training_step(model.loss);

    // The model is the same: f32 agrees to f32's digits.
    const Found plain = run(expected, step, 1);
    CHECK(plain.loss == Approx(expected.loss).epsilon(1e-6));
    for (const auto& [path, want] : expected.gradients) {
      INFO(name << " " << path);
      CHECK(distance(plain.gradients.at(path), want.exact) < 1e-5 * norm(want.exact) + 1e-7);
    }

    // One draw: rounding errors scatter, twice as large for one parameter is no fault.
    for (const DType low : {bf16, f16}) {
      const double scale = low == f16 ? 1024 : 1;
      const Found found = run(expected, step | mixed_precision(low) | scale_loss(static_scale(scale)), scale);
      CHECK(found.loss == Approx(expected.loss).epsilon(low == bf16 ? 4e-3 : 5e-4));
      for (const auto& [path, want] : expected.gradients) {
        const double error = distance(found.gradients.at(path), want.exact);
        const double autocast = low == bf16 ? want.error_bf16 : want.error_f16;
        INFO(name << " " << name_of(low) << " " << path << ": " << error << " against " << autocast);
        CHECK(error < 2 * autocast + 1e-6);
        if (norm(want.exact) > 1e-6) CHECK(cosine(found.gradients.at(path), want.exact) > 0.999);
      }
    }
  }
}

TEST_CASE("over many draws our rounding errors are no larger than those of PyTorch's autocast", "[optim][precision]") {
  for (const char* name : {"gpt", "encoder"}) {
    const Case expected = read(name);
    const Model model = std::string(name) == "gpt" ? gpt() : encoder();
    const Step step = training_step(model.loss);
    const std::map<DType, double> scales{{bf16, 1.0}, {f16, 1024.0}};
    std::map<DType, double> logs;
    for (std::size_t i = 0; i < expected.draws_bf16.size(); ++i) {
      const Found exact = run(expected, step, 1, i + 2);
      for (const auto& [low, scale] : scales) {
        const Found found = run(expected, step | mixed_precision(low) | scale_loss(static_scale(scale)), scale, i + 2);
        double squares = 0;
        for (const auto& [path, want] : exact.gradients)
          squares += std::pow(distance(found.gradients.at(path), want), 2);
        logs[low] += std::log(std::sqrt(squares) / (low == bf16 ? expected.draws_bf16 : expected.draws_f16)[i]);
      }
    }
    for (const auto& [low, sum] : logs) {
      const double ratio = std::exp(sum / static_cast<double>(expected.draws_bf16.size()));
      INFO(name << " " << name_of(low) << ": our error over autocast's, geometric mean of the draws: " << ratio);
      CHECK(ratio < 1.1);  // measured: 0.99 to 1.03
      CHECK(ratio > 0.5);  // else something is not rounded at all
    }
  }
}
