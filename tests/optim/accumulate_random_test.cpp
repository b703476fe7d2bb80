// accumulate(k) on random networks: wherever the batch is moved to, whatever is shared, fetched and updated, the whole
// batch's numbers come out, or a UserError says why not.
#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <iostream>

using namespace weft;

namespace {

class Network {
 public:
  explicit Network(std::uint64_t seed) : state_(seed * 2654435761U + 17) {
    const Dim batch = graph.dim("batch", 6);
    x_ = graph.input("x", f64, {batch, 4, 3});
    z_ = graph.input("z", f64, {2, batch});
    pool_ = {x_, transpose(x_, {1, 0, 2}), transpose(x_, {2, 1, 0}), z_, reshape(z_, {2 * batch})};
    for (int i = 0; i < 14; ++i) grow();
    const Value weight = sum(abs(z_));
    loss = LossTerm{0.7, sum_of(pick()), weight};
    loss = loss + Loss(LossTerm{0.2, sum_of(pool_.back()), weight});
    if (below(2) == 0) loss = loss + Loss(LossTerm{0.3, sum_of(pick()), sum(x_ * x_)});
    if (below(3) == 0) loss = loss + Loss(LossTerm{0.01, sum(parameter({3}) * 0.5), {}});
    const Value cell = graph.state("cell", {f64, {}}, init::ones());
    graph.update(cell, cell * 0.5 + sum_of(pick()) / weight);
    for (int i = 0; i < 3; ++i) fetched.push_back(pick());
  }

  Graph graph;
  Loss loss;
  std::vector<Value> fetched;

  static Tensor data(Tensor::Extents extents, double phase) {
    Tensor tensor(f64, std::move(extents));
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data<double>()[i] = std::sin(2.3 * static_cast<double>(i) + phase);
    return tensor;
  }

 private:
  std::uint64_t below(std::uint64_t n) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return (state_ >> 33U) % n;
  }
  const Value& pick() { return pool_[below(pool_.size())]; }
  static bool is_batch(const Value& v, int axis) { return v.dim(axis).has(Symbol("batch")); }
  Value parameter(Shape shape) {
    return graph.parameter(fmt::format("p{}", parameters_++), {f64, std::move(shape)}, init::normal(0, 0.7));
  }
  Value sum_of(const Value& v) { return sum(v * tanh(v)); }

  // An axis that is not the batch's; -1: there is none.
  int other_axis(const Value& v) {
    std::vector<int> axes;
    for (int axis = 0; axis < v.rank(); ++axis)
      if (!is_batch(v, axis)) axes.push_back(axis);
    return axes.empty() ? -1 : axes[below(axes.size())];
  }

  void grow() {
    const Value v = pick();
    const bool last_free = v.rank() > 0 && !is_batch(v, -1);
    const int axis = other_axis(v);
    Value made;
    switch (below(13)) {
      case 0:
        if (last_free) made = linear(v, parameter({3, v.dim(-1)}), parameter({3}));
        break;
      case 1:
        if (v.rank() == 2) made = transpose(v, {1, 0});
        break;
      case 2:
        made = gelu(v);
        break;
      case 3:
        made = v * pick_like(v);
        break;
      case 4:
        if (last_free) made = v + parameter({v.dim(-1)});
        break;
      case 5:
        if (last_free && v.rank() > 1) made = layer_norm(v);
        break;
      case 6:
        if (axis >= 0) made = softmax(v, axis);
        break;
      case 7:
        if (v.rank() == 3) made = reshape(v, {v.dim(0) * v.dim(1), v.dim(2)});
        break;
      case 8:
        if (axis >= 0 && v.rank() > 1) made = sum(v, {.axes = {axis}});
        break;
      case 9:
        made = dropout(v, 0.3);
        break;
      case 10:
        if (axis >= 0) made = concatenate({v, pick_like(v)}, axis);
        break;
      case 11:
        if (axis >= 0 && v.shape().extent(axis) > 1) made = slice(v, {.axis = axis, .start = 1});
        break;
      default:
        made = below(4) == 0 ? softmax(v, 0) : v * exp(parameter({}));
        break;  // sometimes examples meet
    }
    if (made.valid()) pool_.push_back(made);
  }
  Value pick_like(const Value& v) {
    for (int i = 0; i < 8; ++i)
      if (const Value& other = pick(); str_of(other) == str_of(v)) return other;
    return v;
  }
  static std::string str_of(const Value& v) { return v.type().str(); }

  Value x_, z_;
  std::vector<Value> pool_;
  std::uint64_t state_;
  int parameters_ = 0;
};

Step observed(Step step, const Network& network) {
  step = step | clip_global_norm(1e9);
  for (std::size_t i = 0; i < network.fetched.size(); ++i)
    step = step | fetch(fmt::format("fetched {}", i), network.fetched[i]);
  for (const Gradient& gradient : step.gradients)
    step.set_fetch("gradient " + gradient.parameter.node().name, gradient.value);
  return step;
}

}  // namespace

TEST_CASE("random networks give the whole batch's gradients, fetches and states in micro-batches, or are refused",
          "[optim][accumulate]") {
  int equal = 0, refused = 0;
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    const Network network(seed);
    network.graph.check();
    Step plain;
    try {
      plain = training_step(network.loss);
    } catch (const UserError& error) {
      CHECK_THAT(error.what(), ContainsSubstring("reaches no parameter"));
      continue;
    }
    const Step whole = observed(plain, network);
    Store one(whole, {.seed = seed});
    Program first(whole, one);
    const Tensor x = Network::data({6, 4, 3}, 0.1), z = Network::data({2, 6}, 0.7);
    const Result want = first.run({{"x", x}, {"z", z}});
    for (const std::int64_t k : {2, 3, 6}) {
      INFO("seed " << seed << ", k " << k);
      Step cut;
      try {
        cut = observed(plain | accumulate(k), network);
      } catch (const UserError& error) {
        CHECK_THAT(error.what(), ContainsSubstring("accumulate_random_test.cpp:"));
        CHECK_THAT(error.what(), ContainsSubstring("mixes the examples") ||
                                     ContainsSubstring("draws by the row of the whole batch") ||
                                     ContainsSubstring("all examples together decide"));
        ++refused;
        continue;
      }
      Store other(cut, {.seed = seed});
      Program second(cut, other);
      check_plan(second.plan());
      const Result got = second.run({{"x", x}, {"z", z}});
      for (const Fetch& fetch : whole.fetches) {
        INFO(fetch.name);
        const Tensor a = got.tensor(fetch.name), b = want.tensor(fetch.name);
        REQUIRE(a.extents() == b.extents());
        double worst = 0, scale = 1e-3;
        for (std::int64_t i = 0; i < b.size(); ++i) {
          scale = std::max(scale, std::abs(b.at(i)));
          worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
        }
        CHECK(worst <= 1e-11 * scale);
      }
      CHECK(other.tensor("cell").item() == Approx(one.tensor("cell").item()).epsilon(1e-12));
      ++equal;
    }
  }
  std::cout << "accumulate on random networks: " << equal << " equal, " << refused << " refused\n";
  CHECK(equal > 100);
  CHECK(refused > 10);
}
