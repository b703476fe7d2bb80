#include <weft/graph/rewrite.h>
#include <weft/optim/seeds.h>

#include <map>

namespace weft {

Step replace_seeds(const Step& step, const std::string& pass,
                   const std::function<Value(std::size_t, const Value&)>& make,
                   const std::function<void(Graph)>& prepare) {
  std::map<ValueRef, std::size_t> index;
  for (std::size_t i = 0; i < step.seeds.size(); ++i) {
    const Value& seed = step.seeds[i];
    WEFT_INVARIANT(seed.valid() && seed.node().types.size() == 1, "seed {} is no single value", i);
    WEFT_INVARIANT(index.emplace(seed.ref(), i).second, "two terms of the loss share the seed '{}'", seed.name());
  }
  Rebuild rebuild(step.graph, pass);
  if (prepare) {
    const Scope scope = rebuild.to().made_by(pass, no_node);
    prepare(rebuild.to());
  }
  std::vector<ValueRef> made(step.seeds.size());
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    rebuild.keep(node);
    const auto at = index.find({id, 0});
    if (at == index.end()) continue;
    const Scope scope = rebuild.in_place_of(node);
    const Value seed = make(at->second, rebuild.map({id, 0}));
    WEFT_INVARIANT(seed.type() == node.types.front(), "{}: the seed '{}' of {} is replaced by {}", pass, node.name,
                   node.types.front().str(), seed.type().str());
    made[at->second] = seed.ref();
    rebuild.replace(node, {seed});
  }
  Step result = step.over(rebuild.finish());
  for (std::size_t i = 0; i < made.size(); ++i) result.seeds[i] = result.graph.value(made[i]);
  return result;
}

}  // namespace weft
