// Steps whose gradients are what the test feeds: of the sum of w * c the gradient of w is c, to the bit.
#pragma once

#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace given {

using namespace weft;

/// Parameters "layer/weight" [3, 4] and "layer/bias" [5]; inputs "c0" and "c1" of the same shapes, and "weight" (i64),
/// by which the loss is divided where `weighted`.
struct Model {
  Graph graph;
  Value weight, bias, c0, c1;
  Loss loss;

  explicit Model(DType dtype = f32, bool weighted = false) {
    c0 = graph.input("c0", dtype, {3, 4});
    c1 = graph.input("c1", dtype, {5});
    {
      const auto scope = graph.scope("layer");
      weight = graph.parameter("weight", {dtype, {3, 4}}, init::normal(0, 1));
      bias = graph.parameter("bias", {dtype, {5}}, init::normal(0, 1));
    }
    const Value total = sum(weight * c0) + sum(bias * c1);
    loss = weighted ? Loss(LossTerm{1, total, graph.input("weight", i64, {})}) : Loss(total);
  }
};

using Lists = std::vector<std::vector<double>>;

inline Tensor tensor(DType dtype, Tensor::Extents extents, const std::vector<double>& values) {
  Tensor wide(f64, std::move(extents));
  std::copy(values.begin(), values.end(), wide.data<double>());
  return wide.cast(dtype);
}

inline std::vector<double> list(const Tensor& tensor) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.size(); ++i) values.push_back(tensor.at(i));
  return values;
}

/// Runs a step of the model over given gradients.
class Runner {
 public:
  Runner(const Step& step, std::uint64_t seed = 1) : store(step, {.seed = seed}), program(step, store) {}
  Result run(const Lists& gradients, std::int64_t weight = 1) {
    const DType dtype = store.tensor("layer/weight").dtype();
    c0_ = tensor(dtype, {3, 4}, gradients.at(0));
    c1_ = tensor(dtype, {5}, gradients.at(1));
    weight_ = Tensor::scalar(weight);
    std::vector<Feed> feeds{{"c0", c0_}, {"c1", c1_}};
    for (const Value& input : program.plan().step.graph.inputs())
      if (input.node().name == "weight") feeds.emplace_back("weight", weight_);
    return program.run(feeds);
  }

  Store store;
  Program program;

 private:
  Tensor c0_, c1_, weight_;
};

/// w := w - rate g: an optimizer whose arithmetic a test can follow.
inline Optimizer descent(double rate) {
  auto update = [](const UpdateContext& context) {
    const Value next = context.parameter - context.gradient * cast(context.rate, context.parameter.dtype());
    context.step.updates.push_back({context.parameter, where(context.taken, next, context.parameter)});
  };
  return {"descent", rate, {}, update};
}

/// Twelve and five numbers of ordinary size.
inline Lists plain() {
  Lists lists(2);
  for (int i = 0; i < 12; ++i) lists[0].push_back(1.5 * std::sin(1.0 + 2.3 * i));
  for (int i = 0; i < 5; ++i) lists[1].push_back(0.4 * std::cos(0.5 + 1.7 * i));
  return lists;
}

inline Lists plain_with(std::size_t tensor, std::size_t element, double value) {
  Lists lists = plain();
  lists.at(tensor).at(element) = value;
  return lists;
}

/// Every cell but those named has the same bits in both.
inline std::string changed_cells(const Store& before, const Store& after) {
  std::string names;
  for (const auto& [path, cell] : before.cells())
    if (!same_bits(cell.tensor, after.tensor(path))) names += (names.empty() ? "" : " ") + path;
  return names;
}

}  // namespace given
