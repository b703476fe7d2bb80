#include "adapters.h"

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>
#include <weft/optim/training_step.h>

#include <numeric>

namespace onnx_node {

using namespace weft;

Constant constant_of(const Tensor& tensor) {
  const auto bytes = std::span(tensor.raw(), tensor.bytes());
  return {{tensor.dtype(), Shape(std::span(tensor.extents()))}, {bytes.begin(), bytes.end()}};
}

Building::Building(const Model& model, const std::vector<Tensor>& inputs) {
  graph_.strict(true);
  for (const auto& [name, tensor] : model.initializers) add(name, graph_.constant(constant_of(tensor)));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& tensor = inputs[i];
    const std::string name = fmt::format("in.{}", i);
    add(model.inputs.at(i), graph_.input(name, tensor.dtype(), Shape(std::span(tensor.extents()))));
    fed_.emplace(name, tensor);
  }
}

const Value& Building::value(const std::string& name) const {
  const auto found = values_.find(name);
  WEFT_CHECK(found != values_.end(), "the model has no value '{}' here", name);
  return found->second;
}

std::vector<Tensor> Building::run(const std::vector<Value>& values) const {
  std::vector<Feed> feeds;
  for (const auto& [name, tensor] : fed_) feeds.emplace_back(name, tensor);
  const Step step = inference(values);
  Store store(step.graph, {});
  Program program(step, store);
  const Result result = program.run(feeds);
  std::vector<Tensor> tensors;
  for (const Value& value : values) tensors.push_back(result.tensor(value).clone());
  return tensors;
}

Value Call::in(std::size_t i) const {
  WEFT_CHECK(has(i), "operand {} is absent", i);
  return building_->value(node_->inputs[i]);
}

Value Call::optional(std::size_t i) const { return has(i) ? in(i) : Value{}; }

Values Call::all() const {
  Values values;
  for (std::size_t i = 0; i < count(); ++i) values.push_back(in(i));
  return values;
}

Tensor Call::known(std::size_t i) const { return building_->run({in(i)}).front(); }

std::vector<std::int64_t> Call::integers(std::size_t i) const {
  const Tensor tensor = known(i).cast(i64);
  const auto values = tensor.values<std::int64_t>();
  return {values.begin(), values.end()};
}

Adapter unary(Value (*function)(const Arg&)) {
  return [function](const Call& c) { return function(c.in(0)); };
}

Adapter binary(Value (*function)(const Arg&, const Arg&)) {
  return [function](const Call& c) { return function(c.in(0), c.in(1)); };
}

Value move_axis(const Value& x, std::int64_t from, std::int64_t to) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(x.rank()));
  std::iota(order.begin(), order.end(), 0);
  const int source = normalize_axis(from, x.rank());
  order.erase(order.begin() + source);
  order.insert(order.begin() + normalize_axis(to, x.rank()), source);
  return transpose(x, order);
}

Value wrapped(const Value& indices, std::int64_t extent) { return where(less(indices, 0), indices + extent, indices); }

}  // namespace onnx_node
