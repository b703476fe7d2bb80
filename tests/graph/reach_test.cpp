#include <weft/graph/reach.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

#include <algorithm>

using namespace weft;

namespace {

// x -> a -> b -> d, x -> c -> d; `alone` reads nothing of them.
struct Diamond {
  Graph graph;
  Value x = graph.input("x", f32, {2}), w = graph.input("w", f32, {2});
  Value a = toy::negate(x), b = toy::negate(a), c = toy::negate(x), d = toy::plus(b, c), alone = toy::negate(w);
};

std::vector<NodeId> listed(const Graph& graph, const NodeSet& set) {
  std::vector<NodeId> ids;
  for (const NodeId id : graph.ids())
    if (set.contains(id)) ids.push_back(id);
  return ids;
}
std::vector<NodeId> ids_of(const std::vector<Value>& values) {
  std::vector<NodeId> ids;
  for (const Value& value : values) ids.push_back(value.ref().node);
  return ids;
}

}  // namespace

TEST_CASE("ancestors are what a value is made from, descendants what is made from it, its own node too",
          "[core][graph]") {
  const Diamond g;
  CHECK(listed(g.graph, ancestors(g.graph, {g.b})) == ids_of({g.x, g.a, g.b}));
  CHECK(listed(g.graph, ancestors(g.graph, {g.d})) == ids_of({g.x, g.a, g.b, g.c, g.d}));
  CHECK(listed(g.graph, descendants(g.graph, {g.a})) == ids_of({g.a, g.b, g.d}));
  CHECK(listed(g.graph, descendants(g.graph, {g.a, g.w})) == ids_of({g.w, g.a, g.b, g.d, g.alone}));
  CHECK(listed(g.graph, ancestors(g.graph, {})).empty());
  CHECK(listed(g.graph, ancestors(g.graph, {Value{}, g.alone})) == ids_of({g.w, g.alone}));
}

TEST_CASE("a search goes along the edges that it is told to", "[core][graph]") {
  const Diamond g;
  const auto not_through_b = [&](const Node& reader, ValueRef operand) {
    CHECK(std::ranges::find(reader.operands, operand) != reader.operands.end());
    return reader.id != g.b.ref().node;
  };
  CHECK(listed(g.graph, ancestors(g.graph, {g.d}, not_through_b)) == ids_of({g.x, g.b, g.c, g.d}));
  CHECK(listed(g.graph, descendants(g.graph, {g.a}, not_through_b)) == ids_of({g.a}));
  CHECK(listed(g.graph, descendants(g.graph, {g.x}, not_through_b)) == ids_of({g.x, g.a, g.c, g.d}));
}

TEST_CASE("a set of nodes has none that its graph does not have", "[core][graph]") {
  const Diamond g;
  NodeSet set(g.graph);
  set.insert(g.a.ref().node);
  CHECK(set.contains(g.a.ref().node));
  CHECK_FALSE(set.contains(g.b.ref().node));
  CHECK_FALSE(set.contains(no_node));
  CHECK_FALSE(set.contains(g.graph.next_id() + 7));
  set.erase(g.a.ref().node);
  CHECK_FALSE(set.contains(g.a.ref().node));
}
