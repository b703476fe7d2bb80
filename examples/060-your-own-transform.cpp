// Transforms of your own, Step -> Step: gradient noise (Neelakantan et al. 2015), a rule for one gradient at a time,
// and sharpness-aware steps (Foret et al. 2021), which go over the model twice. Order, proof, training.
#include <weft/optim/each_gradient.h>
#include <weft/weft.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

using namespace weft;

namespace {

// --- A rule for one gradient ---
//
// g := g + N(0, sigma_t^2), sigma_t^2 = eta / (1 + t)^gamma, t updates taken (arXiv:1511.06807, section 3). The frame
// hands in clean gradients: unscaled, divided by the loss's weight. So it stands behind accumulate, and forbids to
// optimize before it.

Transform gradient_noise(double eta, double gamma = 0.55) {
  WEFT_CHECK(eta >= 0, "gradient_noise needs an eta of at least 0, got {}", eta);
  return each_gradient(
      {.name = "gradient_noise",
       .change = fmt::format("adds N(0, {} / (1 + t)^{}) to every element of the gradients", eta, gamma),
       .make =
           [=](const GradientContext& c) {
             const Value deviation = sqrt(eta / pow(cast(c.updates, f64) + 1.0, gamma));
             return c.gradient + c.normal() * c.narrow(deviation);
           },
       .forbids = {"noisy"},
       .promises = {"noisy"}});
}

// --- A second pass over the model ---
//
// g := grad L(p + e), e = rho g / |g| over all parameters (arXiv:2010.01412, equations 2 and 3). The gradients are
// graph: `substitute` copies what depends on the parameters, forward and backward, over parameters that were moved.
// Dropout keeps its streams, so both passes drop the same.

Transform sharpness_aware(double rho) {
  WEFT_CHECK(rho >= 0, "sharpness_aware needs a rho of at least 0, got {}", rho);
  auto apply = [rho](Step step) {
    const auto pass = step.graph.made_by("sharpness_aware", no_node);
    const auto scope = step.graph.scope("sharpness_aware");
    std::vector<Value> gradients;
    Value squares;
    for (const Gradient& gradient : step.gradients) {
      gradients.push_back(gradient.value);
      const Value own = sum_squares(gradient.value);  // an f64 scalar
      squares = squares.absent() ? own : squares + own;
    }
    const Value length = rho / (sqrt(squares) + 1e-12);
    std::vector<std::pair<Value, Value>> moved;
    for (const Gradient& g : step.gradients)
      moved.emplace_back(g.parameter, g.parameter + g.value * cast(length, g.value.dtype()));
    const std::vector<Value> there = substitute(gradients, moved);
    for (std::size_t i = 0; i < there.size(); ++i) step.gradients[i].value = there[i];
    step.set_fetch("first_grad_norm", sqrt(squares));
    return step;
  };
  return {.name = "sharpness_aware",
          .claim = Claim::changes_meaning,
          .needs = {fact::gradients},
          // It reads gradients of the whole batch, as the backward pass gives them.
          .forbids = {fact::accumulated, fact::unscaled, fact::checkpointed, "sharpness_aware"},
          .promises = {"sharpness_aware"},
          .apply = apply,
          .change = fmt::format("gradients are those at p + {} g / |g|", rho)};
}

// --- A task: which of three noisy rings a point lies on ---

constexpr std::int64_t batch = 48;

struct Model {
  Graph graph;
  Loss loss;

  Model() {
    const Dim n = graph.dim("batch", batch);
    const Value points = graph.input("points", f32, {n, 2}), rings = graph.input("rings", i32, {n});
    const nn::Linear in(graph, "in", {.in = 2, .out = 32}), out(graph, "out", {.in = 32, .out = 3});
    loss = cross_entropy(out(dropout(gelu(in(points)), 0.1)), rings);
  }
};

struct Batch {
  Tensor points = Tensor(f32, {batch, 2}), rings = Tensor(i32, {batch});

  explicit Batch(std::uint64_t seed) {
    std::vector<float> drawn(3 * batch);
    normal_fill(drawn.data(), 3 * batch, 0, random_key(2, 1), seed);
    for (std::int64_t i = 0; i < batch; ++i) {
      const auto at = static_cast<std::size_t>(3 * i);
      const std::int64_t ring = i % 3;
      const float angle = 9 * drawn[at], radius = static_cast<float>(ring) + 0.5F + 0.1F * drawn[at + 1];
      points.data<float>()[2 * i] = radius * std::cos(angle);
      points.data<float>()[2 * i + 1] = radius * std::sin(angle);
      rings.data<std::int32_t>()[i] = static_cast<std::int32_t>(ring);
    }
  }
  std::vector<Feed> feeds() const { return {{"points", points}, {"rings", rings}}; }
};

bool train(const char* what, const Step& step) {
  Store store(step, {.seed = 1});
  Program program(step, store);
  double first = 0, last = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    last = program.run(Batch(i).feeds()).scalar("loss");
    if (i == 0) first = last;
  }
  std::cout << fmt::format("{:<16} loss {:.3f}, after 300 steps {:.3f}\n", what, first, last);
  return last < 0.5 * first;
}

// --- Order ---

bool refused(const char* what, const Step& step, const Transform& transform) {
  try {
    step | transform;
  } catch (const UserError& error) {
    std::cout << "refused: " << error.what() << "\n";
    return true;
  }
  std::cout << what << " was accepted\n";
  return false;
}

// --- Proof ---

// Noise is drawn by the names of transform and parameter, so a step of micro-batches gets the noise of the whole batch.
bool noise_is_proven(const Step& plain) {
  const EquivalenceOptions options{.integers = {{"rings", 3}}};
  const Equivalence split =
      verify_equivalent(plain | gradient_noise(0.01), plain | accumulate(4) | gradient_noise(0.01), options);
  std::cout << "gradient noise, four micro-batches against the whole batch:\n" << split.str() << "\n";

  // Without noise (eta 0) nothing else has changed.
  EquivalenceOptions same = options;
  same.claim = Claim::rounding;
  const bool silent = verify_equivalent(plain, plain | gradient_noise(0), same).passed();
  // And with noise something has: the proof would see it.
  const bool heard = !verify_equivalent(plain, plain | gradient_noise(0.01), same).passed();
  return split.passed() && silent && heard;
}

// Against the two passes as one writes them by hand: gradients, a move of the store, gradients.
bool sharpness_is_proven(const Step& plain) {
  const double rho = 0.05;
  const Batch data(7);
  const Step by_hand = plain | fetch_gradients(), by_graph = plain | sharpness_aware(rho) | fetch_gradients();
  Store start(plain, {.seed = 3});
  Store moved = start.clone();
  Program first(by_hand, start);
  Result result = first.run(data.feeds());
  const double norm = result.scalar("grad_norm");
  for (const Value& p : plain.parameters) {
    Tensor weight = moved.tensor(p.name());
    const Tensor g = result.tensor("gradient/" + p.name());
    for (std::int64_t i = 0; i < g.size(); ++i) weight.data<float>()[i] += static_cast<float>(rho / norm * g.at(i));
  }
  Program second(by_hand, moved);
  Store whole(plain, {.seed = 3});
  Program graph(by_graph, whole);
  const Result wanted = second.run(data.feeds()), got = graph.run(data.feeds());
  double error = 0, size = 0;
  for (const Value& p : plain.parameters) {
    const Tensor a = wanted.tensor("gradient/" + p.name()), b = got.tensor("gradient/" + p.name());
    error = std::max(error, max_abs_difference(a, b));
    size = std::max(size, max_abs(a));
  }
  std::cout << fmt::format("sharpness-aware, one graph against two passes by hand: {:.1e} of {:.2f}\n", error, size);
  return error < 1e-5 * size && std::abs(wanted.scalar("grad_norm") - norm) > 1e-4;
}

}  // namespace

int main() {
  const Model model;
  const Step plain = training_step(model.loss);
  const Transform adam = optimize(adamw({.rate = 0.01}));

  std::cout << changes(plain, plain | gradient_noise(0.01)) << "\n"
            << changes(plain, plain | sharpness_aware(0.05)) << "\n";

  const bool ordered = refused("noise behind optimize", plain | clip_global_norm(1.0) | adam, gradient_noise(0.01)) &&
                       refused("a second pass behind a clip", plain | clip_global_norm(1.0), sharpness_aware(0.05)) &&
                       refused("noise twice", plain | gradient_noise(0.01), gradient_noise(0.1));

  return ordered && noise_is_proven(plain) && sharpness_is_proven(plain) && train("plain", plain | adam) &&
                 train("gradient noise", plain | clip_global_norm(1.0) | gradient_noise(1e-4) | adam) &&
                 train("sharpness-aware", plain | sharpness_aware(0.05) | clip_global_norm(1.0) | adam)
             ? 0
             : 1;
}
