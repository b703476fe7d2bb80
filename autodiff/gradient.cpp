#include <weft/autodiff/gradient.h>

#include <weft/autodiff/plain_outputs.h>
#include <weft/graph/user_rule.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

namespace weft {

// One walk over the nodes between `values` and `outputs`, in reverse build order.
class ReverseWalk {
 public:
  /// Nodes before position `first` are not visited: what `values` themselves were made from stays out.
  ReverseWalk(Graph graph, const std::vector<Value>& values, std::size_t first = 0)
      : graph_(std::move(graph)), first_(first) {
    for (const Value& value : values) reached_.insert(value.ref());
  }

  std::vector<Value> run(const std::vector<Value>& outputs, const std::vector<Value>& cotangents,
                         const std::vector<Value>& values) {
    find_reached(outputs);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto origin = graph_.made_by(gradient_pass, outputs[i].ref().node);
      add(outputs[i].ref(), cotangents[i]);
    }
    // Nodes that this walk builds come after: they are not visited.
    const auto ids = graph_.ids().subspan(std::min(first_, visited_), visited_ - std::min(first_, visited_));
    const std::vector<NodeId> order(ids.rbegin(), ids.rend());
    for (NodeId id : order) visit(id);
    graph_.check();
    std::vector<Value> gradients;
    for (const Value& value : values) {
      const auto found = cotangents_.find(value.ref());
      gradients.push_back(found == cotangents_.end() ? Value{} : found->second);
    }
    return gradients;
  }

  // After run(): nodes with an operand to differentiate by that none got a gradient from.
  std::vector<NodeId> ends(const std::vector<Value>& outputs) const {
    std::unordered_set<NodeId> leads(ends_.begin(), ends_.end()), found(ends_.begin(), ends_.end());
    for (const Value& output : outputs) leads.insert(output.ref().node);
    const auto ids = graph_.ids().first(visited_);
    for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
      if (!leads.contains(*id)) continue;
      const Node& node = graph_.node(*id);
      const bool reads = std::ranges::any_of(node.operands, [&](ValueRef ref) { return reached_.contains(ref); });
      if (reads && std::ranges::none_of(node.types, differentiable)) found.insert(*id);
      for (ValueRef ref : node.operands)
        if (ref.node != no_node && !found.contains(*id)) leads.insert(ref.node);
    }
    std::vector<NodeId> ordered;
    std::ranges::copy_if(ids, std::back_inserter(ordered), [&](NodeId id) { return found.contains(id); });
    return ordered;
  }

 private:
  static bool differentiable(const TensorType& type) { return is_float(type.dtype); }

  // Values that depend on what we differentiate by. Integers and booleans carry no gradient.
  void find_reached(const std::vector<Value>& outputs) {
    NodeId last = 0;
    for (const Value& output : outputs) last = std::max(last, output.ref().node);
    std::size_t position = 0;
    for (NodeId id : graph_.ids()) {
      if (++position <= first_) continue;
      const Node& node = graph_.node(id);
      const bool depends = std::ranges::any_of(node.operands, [&](ValueRef ref) { return reached_.contains(ref); });
      for (std::uint32_t k = 0; depends && k < node.types.size(); ++k)
        if (differentiable(node.types[k])) reached_.insert({id, k});
      if (id == last) break;
    }
    visited_ = position;
  }

  // Sums of cotangents, in the order in which users are visited: fixed when the graph is built.
  void add(ValueRef ref, Value cotangent) {
    if (!cotangent.valid()) return;
    const TensorType& type = graph_.type(ref);
    if (cotangent.shape() != type.shape) {
      // A pointwise op's operand was broadcast: its gradient is the sum over the copies. Done here, for all ops.
      WEFT_CHECK(broadcasts_to(type.shape, cotangent.shape()), "the gradient of {} must broadcast from {}, got {}",
                 graph_.value(ref).name(), type.str(), cotangent.type().str());
      cotangent = sum_to(cotangent, type.shape);
    }
    WEFT_CHECK(cotangent.dtype() == type.dtype, "the gradient of {} must be {}, got {}", graph_.value(ref).name(),
               type.str(), cotangent.type().str());
    Value& total = cotangents_[ref];
    total = total.valid() ? weft::add(total, cotangent) : cotangent;
  }

  void visit(NodeId id) {
    const Node& node = graph_.node(id);
    bool any = false, wanted = false;
    for (std::uint32_t k = 0; k < node.types.size(); ++k) any |= cotangents_.contains({id, k});
    for (ValueRef ref : node.operands) wanted |= reached_.contains(ref);
    if (!any || !wanted) return;

    const auto scope = graph_.scope("gradient/" + node.name);
    const auto origin = graph_.made_by(gradient_pass, id);
    Backward backward;
    fill(backward, node);
    try {
      if (node.op->backward)
        user_rule("its backward", [&] {
          try {
            node.op->backward(backward);
          } catch (const std::out_of_range&) {
            WEFT_FAIL(
                "its backward asks for an operand, an output or a cotangent that the node does not have: it has {} "
                "operands and {} "
                "outputs, counted from 0",
                node.operands.size(), node.types.size());
          }
        });
      else if (node.op->plain) through_plain(backward, node);
      else
        WEFT_FAIL(
            "this op has no backward; hint: give its OpDef a .backward that builds the gradient, as in .backward = "
            "[](Backward& b) {{ b.input(0, 2 * b.in(0) * b.cotangent(0)); }} for y = x^2, or a .plain definition in "
            "other ops to differentiate, as in .plain = [](const Plain& p) -> Values {{ return p.in[0] * p.in[0]; }}, "
            "or cut here on purpose with stop_gradient(x)");
      for (std::size_t i = 0; i < node.operands.size(); ++i)
        if (backward.wants_[i]) add(node.operands[i], backward.gradients_[i]);
      if (std::ranges::none_of(backward.gradients_, &Value::valid)) ends_.push_back(id);
    } catch (const UserError& error) {
      graph_.add_problem({node.name, node.where, fmt::format("[{}] {}", node.op->name, error.reason), ""});
    }
  }

  void fill(Backward& backward, const Node& node) {
    for (ValueRef ref : node.operands) {
      backward.in_.push_back(ref.node == no_node ? Value{} : graph_.value(ref));
      backward.wants_.push_back(ref.node != no_node && reached_.contains(ref));
    }
    backward.gradients_.resize(node.operands.size());
    backward.most_ = node.op->most_inputs;
    for (std::uint32_t k = 0; k < node.types.size(); ++k) {
      backward.out_.push_back(graph_.value(node.id, k));
      const auto found = cotangents_.find({node.id, k});
      backward.cotangents_.push_back(found == cotangents_.end() ? Value{} : found->second);
    }
    backward.attributes_ = &node.attributes;
    backward.zeros_ = [](const Value& like) { return zeros_like(like); };
    backward.vector_jacobian_ = weft::vector_jacobian;
  }

  // A fused op without a backward of its own: its plain definition is built here and differentiated.
  void through_plain(Backward& backward, const Node& node) {
    const std::vector<TensorType> types = node.types;
    const std::size_t first = graph_.size();  // operands may depend on one another: only the plain nodes are walked
    const Values outputs = plain_outputs(*node.op, {backward.in_, node.attributes, types});
    std::vector<Value> flowing, cotangents, wanted;
    for (std::size_t k = 0; k < outputs.size(); ++k)
      if (backward.has_cotangent(static_cast<int>(k)) && outputs[k].valid()) {
        flowing.push_back(outputs[k]);
        cotangents.push_back(backward.cotangents_[k]);
      }
    // The plain definition knows values, not operands: one that is given twice has its whole gradient at its first
    // place.
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < backward.in_.size(); ++i) {
      if (!backward.wants_[i] || std::ranges::find(wanted, backward.in_[i]) != wanted.end()) continue;
      wanted.push_back(backward.in_[i]);
      places.push_back(i);
    }
    const std::vector<Value> gradients = ReverseWalk(graph_, wanted, first).run(flowing, cotangents, wanted);
    for (std::size_t j = 0; j < places.size(); ++j) backward.gradients_[places[j]] = gradients[j];
  }

  Graph graph_;
  std::unordered_set<ValueRef> reached_;
  std::unordered_map<ValueRef, Value> cotangents_;
  std::vector<NodeId> ends_;  // visited, and gave no operand a gradient
  std::size_t first_ = 0, visited_ = 0;
};

std::vector<Value> vector_jacobian(const std::vector<Value>& outputs, const std::vector<Value>& cotangents,
                                   const std::vector<Value>& values) {
  WEFT_CHECK(outputs.size() == cotangents.size(), "{} outputs need {} cotangents, got {}", outputs.size(),
             outputs.size(), cotangents.size());
  if (outputs.empty()) return std::vector<Value>(values.size());
  Graph graph = outputs.front().graph();
  graph.check();
  for (const Value& value : values)
    WEFT_CHECK(value.valid() && value.graph() == graph,
               "{} to differentiate by is not in the loss's graph; "
               "hint: step.find(value) gives the value in a step's graph",
               value.valid() ? fmt::format("the value '{}' ({})", value.name(), str(value.node().where)) : "a value");
  for (std::size_t i = 0; i < outputs.size(); ++i)
    WEFT_CHECK(cotangents[i].type() == outputs[i].type(), "the cotangent of {} ({}) must be {}, got {} from {} ({})",
               outputs[i].name(), str(outputs[i].node().where), outputs[i].type().str(), cotangents[i].type().str(),
               cotangents[i].name(), str(cotangents[i].node().where));
  return ReverseWalk(graph, values).run(outputs, cotangents, values);
}

std::vector<NodeId> gradient_ends(const std::vector<Value>& outputs, const std::vector<Value>& values) {
  if (outputs.empty()) return {};
  const Graph graph = outputs.front().graph().clone();
  std::vector<Value> ends, cotangents, by;
  for (const Value& output : outputs) {
    ends.push_back(graph.find(output));
    cotangents.push_back(ones_like(ends.back()));
  }
  for (const Value& value : values) by.push_back(graph.find(value));
  ReverseWalk walk(graph, by);
  walk.run(ends, cotangents, by);
  return walk.ends(ends);
}

std::vector<Value> gradient(const Value& loss, const std::vector<Value>& values, GradientOptions options) {
  if (!loss.absent()) loss.graph().check();
  WEFT_CHECK(loss.valid(), "there is no loss to differentiate");
  WEFT_CHECK(loss.shape().count() == 1 && is_float(loss.dtype()),
             "a loss must be one number of a floating type, {} ({}) is {}; hint: sum(x) or mean(x)", loss.name(),
             str(loss.node().where), loss.type().str());
  std::vector<Value> gradients = vector_jacobian({loss}, {ones_like(loss)}, values);
  for (std::size_t i = 0; i < values.size() && !options.allow_unused; ++i)
    WEFT_CHECK(gradients[i].valid(),
               "{} does not depend on {} ({}) in a differentiable way; hint: audit(step) says "
               "where the path is cut; {{.allow_unused = true}} gives an absent value instead",
               loss.name(), values[i].name(), str(values[i].node().where));
  return gradients;
}

}  // namespace weft
