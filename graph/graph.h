// The graph: nodes are applications of ops, edges lead from operands to their readers. Append-only: a node never
// changes; a pass builds a new graph. Build order is a topological order.
//
// A Graph is a handle: copies share the nodes, clone() copies them. A user's error does not stop the build: the failed
// node gives an invalid Value, shape rules skip invalid operands, and check() throws all problems together
// (training_step, evaluation, plan and Program call it). strict(true) throws at the line instead.
#pragma once

#include <weft/graph/initializer.h>
#include <weft/graph/op_def.h>
#include <weft/graph/user_line.h>
#include <weft/graph/value.h>

#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// When a node runs, in a run of several micro-batches (optim/accumulate.h). A node is marked micro or step only.
/// Whether a value can be computed before or only after the micro-batches follows from what it reads
/// (optim/micro_phases.h); whether it is, from what reads it (runtime/memory/phases.h).
enum class Phase : std::uint8_t {
  before,  ///< once, before the micro-batches
  micro,   ///< once for each micro-batch
  after,   ///< once, when all micro-batches are done
  step,    ///< once for each step: before or after
};

/// What a node was made from: by which pass, and from which node.
struct Provenance {
  std::string pass;  ///< "" for a node that the user built
  NodeId origin = no_node;
};

struct Node {
  NodeId id = no_node;
  const OpDef* op = nullptr;
  Attributes attributes;
  std::vector<ValueRef> operands;  ///< node == no_node: the operand is absent
  std::vector<TensorType> types;   ///< of the outputs
  std::string name;                ///< scoped path, unique in the graph
  std::source_location where;      ///< the user's line
  Provenance provenance;
  Phase phase = Phase::micro;
};

/// An error of the user, found while building.
struct Problem {
  std::string path;
  std::source_location where;
  std::string message;
  std::string operands;  ///< a line for each operand: its type, who produced it and where
  std::string str() const;
};

/// state := value, at the end of a run.
struct Update {
  Value state;
  Value value;
  bool of_graph = false;  ///< given by Graph::update, so by the author of the model and not by an optimizer
};

struct ScopeSetting;

/// While it lives, names of new nodes start with its path. With a line, nodes inside report that line (the user's
/// call of a module) instead of their own. Scopes may end in any order: each takes back what it set itself.
class Scope {
 public:
  Scope(const Scope&) = delete;
  Scope(Scope&& other) noexcept;
  Scope& operator=(const Scope&) = delete;
  Scope& operator=(Scope&&) = delete;
  ~Scope();

 private:
  friend class Graph;
  friend class Rebuild;
  Scope(std::shared_ptr<GraphData> graph, ScopeSetting setting);
  std::shared_ptr<GraphData> graph_;
  std::uint64_t id_ = 0;
};

class WEFT_HANDLE Graph {
 public:
  using Where = std::source_location;

  Graph();
  explicit Graph(std::shared_ptr<GraphData> data) : data_(std::move(data)) {}
  Graph(const Graph&) = default;  // moving copies the handle: a graph that was moved from is still the graph
  Graph& operator=(const Graph&) = default;

  /// A named extent. The same name with another value is an error.
  Dim dim(std::string_view name, std::int64_t value, Where where = Where::current());

  /// A tensor that each run is fed. Names are unique.
  Value input(std::string_view name, DType dtype, Shape shape, Where where = Where::current());
  /// A trained tensor, named by its scoped path; the same path twice is an error with both lines.
  Value parameter(std::string_view name, TensorType type, const Initializer& init, Where where = Where::current());
  /// A tensor that the Store keeps from run to run and that is not trained; changed by update().
  Value state(std::string_view name, TensorType type, const Initializer& init,
              Where where = UserLine::current_or(Where::current()));
  /// state := value when a run ends. At most one update per state. The graph keeps it until a step is made of the graph
  /// (Step::updates, Step::take_updates).
  void update(const Value& state, const Value& value, Where where = Where::current());
  /// A tensor fixed at build time.
  Value constant(Constant value, Where where = Where::current());

  [[nodiscard]] Scope scope(std::string_view name);
  [[nodiscard]] Scope scope(std::string_view name, Where where);
  /// Nodes made while it lives were made by `pass` from `origin`, and report the origin's line.
  [[nodiscard]] Scope made_by(std::string_view pass, NodeId origin);
  [[nodiscard]] Scope phase(Phase phase);

  /// Applies an op; every node is built by this. Runs the shape rule at once.
  Values apply(const OpDef& op, const Values& operands, Attributes attributes = {}, Where where = Where::current());

  std::span<const NodeId> ids() const;  ///< in topological (build) order
  std::size_t size() const { return ids().size(); }
  bool has(NodeId id) const;
  const Node& node(NodeId id) const;
  const Node& node(const Value& value) const { return node(value.ref().node); }
  const TensorType& type(ValueRef ref) const;
  Value value(ValueRef ref) const { return {data_, ref}; }
  Value value(NodeId node, std::uint32_t output = 0) const { return {data_, {node, output}}; }
  /// Nodes that read `ref`, in topological order, one entry for each operand.
  std::vector<NodeId> users(ValueRef ref) const;
  /// A node as the rules of its op see it. The view points into this graph.
  struct View {
    std::vector<const TensorType*> in;
    OpView view;
  };
  std::unique_ptr<View> view(const Node& node) const;
  NodeId next_id() const;

  std::vector<Value> inputs() const;
  std::vector<Value> parameters() const;  ///< in build order
  std::vector<Value> states() const;
  std::vector<Update> updates() const;  ///< those that no step has taken yet
  std::vector<Update> take_updates();   ///< the same, removed from the graph
  /// By full path; invalid if there is none.
  Value find_name(std::string_view path) const;
  /// The extent of a named dim, if the graph has it.
  std::optional<std::int64_t> extent(Symbol symbol) const;

  /// Where a value of an earlier graph is now; throws UserError that says which pass removed it.
  Value find(const Value& value) const;
  bool contains(const Value& value) const;  ///< whether find() would succeed

  /// Throw at the line of a problem instead of collecting.
  void strict(bool on);
  const std::vector<Problem>& problems() const;
  /// UserError with the graph's first problem if `ref` is of a value that failed to build.
  void expect_built(ValueRef ref) const;
  void add_problem(Problem problem) const;
  /// Adds a problem on behalf of a function that builds several nodes, with the path and the line that a node built
  /// here would have.
  void refuse(std::string_view name, Where where, std::string message) const;
  /// Throws one UserError with every problem of the graph.
  void check() const;

  Graph clone() const;

  /// A new graph for the body of a function that may read values of this graph. Such a value is captured at its first
  /// use: it becomes an input "captured/PATH" (f32 if it is bf16 or f16); a node without operands, such as a range, is
  /// built again instead. Problems of the nested graph are kept apart from this one's.
  Graph nested() const;
  /// In a nested graph: the inner value of a value of the outer graph, captured if it was not yet.
  Value captured(const Value& outer);
  struct Capture {
    ValueRef outer, inner;
  };
  const std::vector<Capture>& captures() const;  ///< inputs of a nested graph, in order of their first use

  const std::shared_ptr<GraphData>& data() const { return data_; }
  friend bool operator==(const Graph&, const Graph&) = default;

 private:
  friend class Rebuild;
  std::shared_ptr<GraphData> data_;
};

/// "file.cpp:42", with the file's name only.
std::string str(const std::source_location& where);

}  // namespace weft
