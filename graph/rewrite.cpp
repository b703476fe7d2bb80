#include <weft/graph/graph_data.h>
#include <weft/graph/rewrite.h>
#include <weft/graph/user_rule.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace weft {

Rebuild::Rebuild(const Graph& from, std::string pass) : from_(from), pass_(std::move(pass)) {
  const GraphData& old = *from_.data();
  GraphData& data = *to_.data_;
  data.family = old.family;
  data.reserved = from_.data();
  data.next_id = old.next_id;
  data.dims = old.dims;
  data.name_counts = old.name_counts;
  data.redirects = old.redirects;
  data.removed_by = old.removed_by;
  data.strict = old.strict;
  data.problems = old.problems;
  map_.resize(old.next_id);
}

bool Rebuild::mapped(ValueRef old) const {
  return old.node < map_.size() && old.output < map_[old.node].size() && map_[old.node][old.output].node != no_node;
}

Value Rebuild::map(ValueRef old) const {
  WEFT_INVARIANT(mapped(old), "{}: nothing stands for output {} of node {}", pass_, old.output, old.node);
  return to_.value(map_[old.node][old.output]);
}

std::vector<ValueRef> Rebuild::operands(const Node& node) const {
  std::vector<ValueRef> operands;
  operands.reserve(node.operands.size());
  for (const ValueRef& ref : node.operands) operands.push_back(ref.node == no_node ? ref : map(ref).ref());
  return operands;
}

namespace {

// New types of a node in the graph to which its operands belong.
std::vector<TensorType> infer(const Graph& graph, const Node& node) {
  std::vector<const TensorType*> in;
  for (const ValueRef& ref : node.operands) in.push_back(ref.node == no_node ? nullptr : &graph.type(ref));
  try {
    return user_rule("its shape rule", [&] { return node.op->infer({*node.op, node.attributes, in, {}}); });
  } catch (const UserError& error) {
    std::vector<Value> operands;
    for (const ValueRef& ref : node.operands) operands.push_back(ref.node == no_node ? Value{} : graph.value(ref));
    WEFT_FAIL("{}", (Problem{node.name, node.where, fmt::format("[{}] {}", node.op->name, error.reason),
                             describe_operands(graph, operands)}
                         .str()));
  }
}

std::vector<ValueRef> outputs_of(NodeId id, std::size_t count) {
  std::vector<ValueRef> refs;
  for (std::uint32_t k = 0; k < count; ++k) refs.push_back({id, k});
  return refs;
}

}  // namespace

void Rebuild::keep(const Node& node) {
  bool same = true;
  for (const ValueRef& ref : node.operands)
    if (ref.node != no_node && same) same = from_.type(ref) == to_.type(map(ref).ref());
  if (!same) return keep_with(node, node.attributes);
  map_[node.id] = outputs_of(node.id, node.types.size());
  std::vector<ValueRef> mapped = operands(node);
  if (mapped == node.operands) {
    const GraphData& data = *from_.data();
    to_.data_->insert(data.nodes[data.vertex_of[node.id]].node);
  } else {
    Node copy = node;
    copy.operands = std::move(mapped);
    to_.data_->insert(std::move(copy));
  }
}

void Rebuild::keep_with(const Node& node, Attributes attributes) {
  Node copy = node;
  copy.operands = operands(node);
  copy.attributes = std::move(attributes);
  keep_as(std::move(copy));
}

void Rebuild::keep_as(Node changed) {
  changed.types = infer(to_, changed);
  map_[changed.id] = outputs_of(changed.id, changed.types.size());
  to_.data_->insert(std::move(changed));
}

void Rebuild::replace(const Node& node, const std::vector<Value>& values) {
  std::vector<ValueRef>& refs = map_[node.id];
  refs.assign(node.types.size(), {});
  for (std::uint32_t k = 0; k < std::min(values.size(), refs.size()); ++k) {
    if (!values[k].valid()) continue;
    WEFT_INVARIANT(values[k].graph_data() == to_.data_, "{}: '{}' is replaced by a value of another graph", pass_,
                   node.name);
    refs[k] = values[k].ref();
    if (!to_.has(node.id)) to_.data_->redirects.insert_or_assign({node.id, k}, refs[k]);
  }
  if (!to_.has(node.id)) to_.data_->removed_by.insert_or_assign(node.id, pass_);
}

void Rebuild::drop(const Node& node) {
  map_[node.id].clear();
  to_.data_->removed_by.insert_or_assign(node.id, pass_);
}

Scope Rebuild::in_place_of(const Node& node) {
  const auto slash = node.name.rfind('/');
  return {to_.data_,
          {.name = slash == std::string::npos ? "" : node.name.substr(0, slash),
           .whole_path = true,
           .made_by = Provenance{pass_, node.id},
           .made_where = node.where,
           .phase = node.phase}};
}

Graph Rebuild::finish() {
  GraphData& data = *to_.data_;
  for (NodeId id : from_.ids())
    if (map_[id].empty()) data.removed_by.try_emplace(id, pass_);
  for (const auto& [state, value] : from_.data()->updates)
    if (mapped(state) && mapped(value)) data.updates.emplace_back(map(state).ref(), map(value).ref());
  data.reserved = nullptr;
  return to_;
}

namespace {

// Nodes from which `values` are made, without going beyond values that are replaced, in build order.
std::vector<NodeId> nodes_between(const GraphData& data, const std::vector<Value>& values,
                                  const std::unordered_map<ValueRef, ValueRef>& replaced) {
  std::unordered_set<NodeId> seen;
  std::vector<NodeId> stack, found;
  auto visit = [&](ValueRef ref) {
    if (ref.node != no_node && !replaced.contains(ref) && seen.insert(ref.node).second) stack.push_back(ref.node);
  };
  for (const Value& value : values)
    if (value.valid()) visit(value.ref());
  while (!stack.empty()) {
    const NodeId id = stack.back();
    stack.pop_back();
    found.push_back(id);
    for (const ValueRef& ref : data.node(id).operands) visit(ref);
  }
  std::sort(found.begin(), found.end(), [&](NodeId a, NodeId b) { return data.vertex_of[a] < data.vertex_of[b]; });
  return found;
}

}  // namespace

std::vector<Value> substitute(const std::vector<Value>& values,
                              const std::vector<std::pair<Value, Value>>& replacements) {
  std::shared_ptr<GraphData> data;
  std::unordered_map<ValueRef, ValueRef> image;
  for (const auto& [from, to] : replacements) {
    WEFT_INVARIANT(from.valid() && to.valid() && from.graph_data() == to.graph_data(),
                   "substitute needs two values of one graph");
    WEFT_INVARIANT(data == nullptr || data == from.graph_data(), "substitute works within one graph");
    WEFT_INVARIANT(from.type() == to.type(), "substitute: '{}' is {} and '{}' is {}", from.name(), from.type().str(),
                   to.name(), to.type().str());
    data = from.graph_data();
    image[from.ref()] = to.ref();
  }
  if (data == nullptr) return values;

  for (const NodeId id : nodes_between(*data, values, image)) {
    Node copy = data->node(id);
    bool changed = false;
    for (ValueRef& ref : copy.operands)
      if (const auto at = image.find(ref); at != image.end()) {
        changed |= ref != at->second;
        ref = at->second;
      }
    if (!changed) continue;
    copy.id = data->next_id;
    const std::string open_scope = std::exchange(data->scope_path, "");
    copy.name = data->unique_name(copy.name);
    data->scope_path = open_scope;
    copy.provenance = {data->made_by.pass.empty() ? "substitute" : data->made_by.pass, id};
    // try_emplace: one output of the node may be replaced while another is read.
    for (std::uint32_t k = 0; k < copy.types.size(); ++k) image.try_emplace({id, k}, ValueRef{copy.id, k});
    data->insert(std::move(copy));
  }

  std::vector<Value> result;
  result.reserve(values.size());
  for (const Value& value : values) {
    const auto at = value.valid() ? image.find(value.ref()) : image.end();
    result.push_back(at == image.end() ? value : Value(data, at->second));
  }
  return result;
}

}  // namespace weft
