// Parameters whose gradients a test gives: loss = sum of p * g over fed g.
#pragma once

#include <weft/weft.h>

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weft::test {

/// The tensors of tests/optim/data/optimizers.py. Values and gradients are exact in f32.
class FedGradients {
 public:
  using Named = std::vector<std::pair<std::string, Shape>>;
  static Named every() { return {{"w", {4, 2}}, {"v", {2, 3}}, {"b", {3}}}; }
  static Named matrices() { return {{"w", {4, 2}}, {"v", {2, 3}}}; }

  explicit FedGradients(DType dtype = f64, Named named = every()) : dtype_(dtype) {
    Value total;
    for (const auto& [name, shape] : named) {
      const Value p = graph.parameter(name, {dtype, shape}, init::values(constant(shape)));
      names_.push_back("gradient of " + name);
      const Value part = sum(p * graph.input(names_.back(), dtype, shape));
      total = total.valid() ? total + part : part;
      parameters.push_back(p);
      gradients.emplace_back(dtype, shape.extents());
    }
    loss = total;
  }

  /// Gradients of step t = 1, 2, ...
  void fill(std::int64_t t) {
    for (std::size_t k = 0; k < gradients.size(); ++k)
      for (std::int64_t i = 0; i < gradients[k].size(); ++i)
        put(gradients[k], i, static_cast<double>((7 * i + 13 * t + 5 * static_cast<std::int64_t>(k)) % 23 - 11) / 8);
  }
  void put(Tensor& tensor, std::int64_t i, double value) const {
    if (dtype_ == f64) tensor.data<double>()[i] = value;
    else tensor.data<float>()[i] = static_cast<float>(value);
  }
  std::vector<Feed> feeds() const {
    std::vector<Feed> feeds;
    for (std::size_t k = 0; k < names_.size(); ++k) feeds.emplace_back(names_[k], gradients[k]);
    return feeds;
  }
  /// One run with the gradients of step t.
  Result run(Program& program, std::int64_t t) {
    fill(t);
    return program.run(feeds());
  }
  /// All parameters' elements, one after another.
  std::vector<double> values(const Store& store) const {
    std::vector<double> all;
    for (const Value& p : parameters)
      for (std::int64_t i = 0; i < p.shape().count(); ++i) all.push_back(store.tensor(p.node().name).at(i));
    return all;
  }

  Graph graph;
  Loss loss;
  std::vector<Value> parameters;
  std::vector<Tensor> gradients;

 private:
  Constant constant(const Shape& shape) const {
    Tensor start(dtype_, shape.extents());
    const auto k = static_cast<std::int64_t>(parameters.size());
    for (std::int64_t i = 0; i < start.size(); ++i)
      put(start, i, static_cast<double>((5 * i + 3 * k + 2) % 17 - 8) / 16);
    return {{dtype_, shape}, {start.raw(), start.raw() + start.bytes()}};
  }

  DType dtype_;
  std::vector<std::string> names_;
};

/// Paths of the cells whose bits differ, or that only one store has.
inline std::vector<std::string> different_cells(const Store& a, const Store& b) {
  std::vector<std::string> paths;
  for (const auto& [path, cell] : a.cells())
    if (!b.has(path) || !same_bits(cell.tensor, b.tensor(path))) paths.push_back(path);
  for (const auto& [path, cell] : b.cells())
    if (!a.has(path)) paths.push_back(path);
  return paths;
}

}  // namespace weft::test
