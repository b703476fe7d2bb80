#include <weft/graph/graph_bgl.h>
#include <weft/graph/print.h>
#include <weft/graph/reach.h>

#include <boost/graph/filtered_graph.hpp>
#include <boost/graph/graphviz.hpp>

#include <map>
#include <sstream>

namespace weft {
namespace {

const char* style_of(const Node& node) {
  if (node.op->traits.source) return "shape=ellipse, fillcolor=\"#fff2cc\"";
  if (node.phase == Phase::step) return "shape=box, fillcolor=\"#e1d5e7\"";      // the update
  if (!node.provenance.pass.empty()) return "shape=box, fillcolor=\"#f8cecc\"";  // the backward pass
  return "shape=box, fillcolor=\"#dae8fc\"";                                     // what the user built
}

std::string last_part(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string quoted(const std::string& text) { return boost::escape_dot_string(text); }

// A scope: the vertices that lie right in it, and the scopes within.
struct Cluster {
  std::map<std::string, Cluster> within;
  std::vector<Vertex> vertices;
};

// Scopes nest as deep as modules do, not as deep as the graph.
void write_clusters(std::ostream& out, const Cluster& cluster, const std::string& path) {
  for (const auto& [name, inner] : cluster.within) {
    const std::string inner_path = path + "/" + name;
    out << "subgraph " << quoted("cluster" + inner_path) << " {\nlabel=" << quoted(name) << ";\n";
    write_clusters(out, inner, inner_path);
    for (const Vertex vertex : inner.vertices) out << vertex << ";\n";
    out << "}\n";
  }
}

Cluster clusters_of(const BoostGraph& nodes, const std::function<bool(Vertex)>& is_shown) {
  Cluster root;
  for (Vertex vertex = 0; vertex < num_vertices(nodes); ++vertex) {
    if (!is_shown(vertex)) continue;
    const std::string& name = nodes[vertex].node->name;
    Cluster* cluster = &root;
    std::size_t begin = 0;
    for (auto slash = name.find('/'); slash != std::string::npos; slash = name.find('/', begin)) {
      cluster = &cluster->within[name.substr(begin, slash - begin)];
      begin = slash + 1;
    }
    cluster->vertices.push_back(vertex);
  }
  return root;
}

std::string render(const Graph& graph, const NodeSet* shown, const std::vector<Update>& updates) {
  const BoostGraph& nodes = as_boost(graph);
  const std::function<bool(Vertex)> is_shown = [&](Vertex vertex) {
    return shown == nullptr || shown->contains(nodes[vertex].node->id);
  };
  const boost::filtered_graph visible(nodes, boost::keep_all{}, is_shown);
  auto write_vertex = [&](std::ostream& out, Vertex vertex) {
    const Node& node = *nodes[vertex].node;
    out << "[label="
        << quoted((node.op->title != nullptr ? title_of(*node.op, node.attributes) : last_part(node.name)) + "\n" +
                  node.types.front().str())
        << ", tooltip="
        << quoted(fmt::format("%{} {} = {} {} ({})", node.id, node.name, node.op->name, node.attributes.str(),
                              str(node.where)))
        << ", " << style_of(node) << "]";
  };
  auto write_edge = [](std::ostream&, const BoostGraph::edge_descriptor&) {};
  auto write_graph = [&](std::ostream& out) {
    out << "node [style=filled];\n";
    write_clusters(out, clusters_of(nodes, is_shown), "");
    for (const Update& update : updates)
      out << vertex_of(graph, update.value.ref().node) << "->" << vertex_of(graph, update.state.ref().node)
          << " [style=dashed, constraint=false];\n";
  };
  std::ostringstream out;
  boost::write_graphviz(out, visible, write_vertex, write_edge, write_graph);
  return out.str();
}

}  // namespace

std::string dot(const Graph& graph) { return render(graph, nullptr, {}); }

std::string dot(const Step& step) {
  const std::vector<Value> roots =
      step.values([](const StepRole& role) { return role.is_root() || role.is_once_a_step(); });
  const NodeSet shown = ancestors(step.graph, roots);
  return render(step.graph, &shown, step.updates);
}

}  // namespace weft
