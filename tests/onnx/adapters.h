// ONNX ops in weft's public functions: a table by name, filled by family.
#pragma once

#include "onnx_model.h"

#include <weft/graph/graph.h>
#include <weft/runtime/program.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace onnx_node {

using weft::Arg;
using weft::Value;
using weft::Values;

/// A model while it is built: values by ONNX name, and the stored inputs by which operands are read at build time.
class Building {
 public:
  Building(const Model& model, const std::vector<Tensor>& inputs);
  const Value& value(const std::string& name) const;
  void add(const std::string& name, const Value& value) { values_.insert_or_assign(name, value); }
  weft::Graph graph() const { return graph_; }
  /// What the values are for the stored inputs.
  std::vector<Tensor> run(const std::vector<Value>& values) const;

 private:
  weft::Graph graph_;
  std::map<std::string, Value> values_;
  std::map<std::string, Tensor> fed_;  ///< by name in the graph
};

/// One node of the model: its operands and attributes.
class Call {
 public:
  Call(const Building& building, const Node& node, std::int64_t opset)
      : building_(&building), node_(&node), opset_(opset) {}

  std::int64_t opset() const { return opset_; }
  weft::Graph graph() const { return building_->graph(); }
  std::size_t count() const { return node_->inputs.size(); }
  std::size_t outputs() const { return node_->outputs.size(); }

  bool has(std::size_t i) const { return i < count() && !node_->inputs[i].empty(); }
  Value in(std::size_t i) const;        ///< UserError if it is absent
  Value optional(std::size_t i) const;  ///< absent if it is
  Values all() const;

  /// The operand as it is for the stored inputs, for what weft fixes at build time: axes, extents, counts.
  Tensor known(std::size_t i) const;
  std::vector<std::int64_t> integers(std::size_t i) const;
  /// Numbers are exact in double: the nodes have no integer beyond 2^53.
  double number(std::size_t i) const { return known(i).item(); }

  bool has(const std::string& attribute) const { return node_->attributes.contains(attribute); }
  template <class T>
  T get(const std::string& name, T otherwise) const {
    const auto found = node_->attributes.find(name);
    return found == node_->attributes.end() ? otherwise : std::get<T>(found->second);
  }
  std::int64_t integer(const std::string& name, std::int64_t otherwise) const { return get(name, otherwise); }
  double number(const std::string& name, double otherwise) const { return get(name, otherwise); }
  std::string text(const std::string& name, std::string otherwise) const { return get(name, std::move(otherwise)); }
  using Integers = std::vector<std::int64_t>;
  Integers integers(const std::string& name, Integers otherwise = {}) const { return get(name, std::move(otherwise)); }
  /// Operand i if it is there, else the attribute: axes, split and others moved in opset 13.
  Integers integers(std::size_t i, const std::string& name) const { return has(i) ? integers(i) : integers(name); }

 private:
  const Building* building_;
  const Node* node_;
  std::int64_t opset_;
};

/// The outputs of a node, in ONNX's order; later ones may be left out.
using Adapter = std::function<Values(const Call&)>;
using Adapters = std::map<std::string, Adapter>;

Adapters pointwise_adapters();
Adapters activation_adapters();
Adapters reduce_adapters();
Adapters movement_adapters();
Adapters creation_adapters();
Adapters index_adapters();
Adapters norm_adapters();
Adapters product_adapters();
Adapters loss_adapters();
Adapters optimizer_adapters();
Adapters recurrent_adapters();

// --- what several families need ---

Adapter unary(Value (*function)(const Arg&));
Adapter binary(Value (*function)(const Arg&, const Arg&));
weft::Constant constant_of(const Tensor& tensor);
/// Axis `from` at place `to`, the others in their order.
Value move_axis(const Value& x, std::int64_t from, std::int64_t to);
/// Indices from [-extent, extent) in [0, extent).
Value wrapped(const Value& indices, std::int64_t extent);

}  // namespace onnx_node
