// What a Graph handle points to. Private to graph/: everyone else reads through Graph or graph_bgl.h.
#pragma once

#include <weft/graph/graph_bgl.h>

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace weft {

/// What one scope sets, while it is open.
struct ScopeSetting {
  std::string name = {};                           ///< under the path of the scopes before it
  bool whole_path = false;                         ///< `name` is the path itself
  std::optional<std::source_location> where = {};  ///< the outermost counts
  std::optional<Provenance> made_by = {};
  std::optional<std::source_location> made_where = {};
  std::optional<Phase> phase = {};
  std::uint64_t id = 0;
};

struct GraphData {
  static constexpr Vertex no_vertex = ~Vertex{0};

  BoostGraph nodes;               ///< vertices in build order
  std::vector<NodeId> order;      ///< ids in build order: order[vertex] == id
  std::vector<Vertex> vertex_of;  ///< by id
  NodeId next_id = 0;
  /// Shared with every graph made from this one by clone() or a pass: ids mean the same only within a family.
  std::shared_ptr<const char> family = std::make_shared<const char>();
  /// While a pass builds this graph: the graph it reads, whose names are not given to other nodes.
  std::shared_ptr<const GraphData> reserved;

  std::shared_ptr<GraphData> outer;  ///< of a nested graph: the one whose values it captures
  std::vector<Graph::Capture> captures;

  std::map<std::string, std::pair<std::int64_t, std::source_location>, std::less<>> dims;
  std::map<std::string, NodeId, std::less<>> names;    ///< path -> node
  std::vector<std::pair<ValueRef, ValueRef>> updates;  ///< (state, value), that no step has taken yet
  std::map<std::string, int, std::less<>> name_counts;

  // Where values of earlier graphs went, kept by passes.
  std::unordered_map<ValueRef, ValueRef> redirects;
  std::unordered_map<NodeId, std::string> removed_by;

  // The open scopes, in the order in which they were opened, and what they set together.
  std::vector<ScopeSetting> scopes;
  std::uint64_t opened = 0;
  std::uint64_t open(ScopeSetting setting);
  void close(std::uint64_t id);
  void apply_scopes();
  std::string scope_path;
  std::string path_of(std::string_view name) const;  ///< in the open scopes
  std::optional<std::source_location> scope_where;
  Provenance made_by;
  std::optional<std::source_location> made_where;
  std::source_location line_of(std::source_location own) const;  ///< the line that a node built now at `own` reports
  Phase phase = Phase::micro;

  bool strict = false;
  std::vector<Problem> problems;

  bool has(NodeId id) const { return id < vertex_of.size() && vertex_of[id] != no_vertex; }
  const Node& node(NodeId id) const { return *nodes[vertex_of[id]].node; }
  void insert(Node node) { insert(std::make_shared<const Node>(std::move(node))); }
  void insert(std::shared_ptr<const Node> node);
  std::string unique_name(std::string_view base);
};

/// A line for each valid operand: its type, who produced it and where.
std::string describe_operands(const Graph& graph, const std::vector<Value>& operands);

}  // namespace weft
