#include <weft/graph/passes/equal_nodes.h>

#include <weft/graph/sources.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace weft {
namespace {

void combine(std::size_t& seed, std::size_t hash) {
  seed ^= hash + 0x9e3779b97f4a7c15ULL + (seed << 6U) + (seed >> 2U);
}

struct HashAttribute {
  std::size_t operator()(const Shape& shape) const {
    std::size_t seed = 0;
    for (const Dim& dim : shape) combine(seed, static_cast<std::size_t>(dim.value()));
    return seed;
  }
  std::size_t operator()(const std::vector<std::int64_t>& values) const {
    std::size_t seed = 0;
    for (const std::int64_t value : values) combine(seed, static_cast<std::size_t>(value));
    return seed;
  }
  // A few bytes of a large constant tell it apart well enough; equality compares them all.
  std::size_t operator()(const std::shared_ptr<const Constant>& constant) const {
    const std::string_view bytes(reinterpret_cast<const char*>(constant->bytes.data()),
                                 std::min<std::size_t>(constant->bytes.size(), 256));
    return std::hash<std::string_view>{}(bytes);
  }
  template <class T>
  std::size_t operator()(const T& value) const {
    return std::hash<T>{}(value);
  }
};

// Two extents of equal value but different names are different: at another batch they part.
bool same_names(const Shape& a, const Shape& b) {
  return std::ranges::equal(a, b, [](const Dim& x, const Dim& y) {
    return x.number() == y.number() &&
           std::ranges::equal(x.factors(), y.factors(), {}, &Dim::Factor::symbol, &Dim::Factor::symbol);
  });
}

// What makes two nodes one: everything that decides their bits, with each operand as the first that equals it.
struct Key {
  const Node* node;
  std::vector<ValueRef> operands;
  bool any_phase = false;

  bool operator==(const Key& other) const {
    if (node->op != other.node->op || (!any_phase && node->phase != other.node->phase) || operands != other.operands ||
        node->types != other.node->types || !(node->attributes == other.node->attributes))
      return false;
    return std::ranges::equal(node->types, other.node->types, same_names, &TensorType::shape, &TensorType::shape);
  }
};
struct HashKey {
  std::size_t operator()(const Key& key) const {
    std::size_t seed = std::hash<const OpDef*>{}(key.node->op);
    for (const ValueRef& ref : key.operands) combine(seed, std::hash<ValueRef>{}(ref));
    for (const Attributes::Entry& entry : key.node->attributes) combine(seed, std::visit(HashAttribute{}, entry.value));
    return seed;
  }
};

bool may_merge(const Node& node, const EqualNodes& options) {
  if (node.op == &constant_op()) return true;
  const Traits& traits = node.op->traits;
  return !traits.source && (options.random || !traits.random) && traits.recomputable &&
         node.provenance.pass != "checkpoint";
}

}  // namespace

std::vector<NodeId> equal_nodes(const Graph& graph, const EqualNodes& options) {
  std::vector<NodeId> first(graph.next_id(), no_node);
  std::unordered_map<Key, NodeId, HashKey> seen;
  seen.reserve(graph.size());
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    first[id] = id;
    if (!may_merge(node, options)) continue;
    Key key{&node, node.operands, options.any_phase};
    for (ValueRef& ref : key.operands)
      if (ref.node != no_node) ref.node = first[ref.node];
    first[id] = seen.try_emplace(std::move(key), id).first->second;
  }
  return first;
}

}  // namespace weft
