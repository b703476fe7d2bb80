#include <weft/graph/passes/common_subexpressions.h>

#include <weft/graph/rewrite.h>
#include <weft/graph/sources.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace weft {
namespace {

void combine(std::size_t& seed, std::size_t hash) { seed ^= hash + 0x9e3779b97f4a7c15ULL + (seed << 6U) + (seed >> 2U); }

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
    return x.number() == y.number() && std::ranges::equal(x.factors(), y.factors(), {}, &Dim::Factor::symbol,
                                                          &Dim::Factor::symbol);
  });
}

// What makes two nodes one: everything that decides their bits, with operands as they are in the new graph.
struct Key {
  const Node* node;
  std::vector<ValueRef> operands;

  bool operator==(const Key& other) const {
    if (node->op != other.node->op || node->phase != other.node->phase || operands != other.operands ||
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

bool may_merge(const Node& node) {
  if (node.op == &constant_op()) return true;
  const Traits& traits = node.op->traits;
  return !traits.source && !traits.random && traits.recomputable &&
         node.provenance.pass != "checkpoint";
}

}  // namespace

Step common_subexpressions(const Step& step) {
  const Graph& graph = step.graph;
  Rebuild rebuild(graph, "common_subexpressions");
  std::unordered_map<Key, NodeId, HashKey> first;
  first.reserve(graph.size());
  bool changed = false;
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (may_merge(node)) {
      const auto [at, is_new] = first.try_emplace(Key{&node, rebuild.operands(node)}, id);
      if (!is_new) {
        std::vector<Value> values;
        for (std::uint32_t k = 0; k < node.types.size(); ++k) values.push_back(rebuild.map({at->second, k}));
        rebuild.replace(node, values);
        changed = true;
        continue;
      }
    }
    rebuild.keep(node);
  }
  return changed ? step.over(rebuild.finish()) : step;
}

}  // namespace weft
