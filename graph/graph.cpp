#include <weft/graph/graph.h>
#include <weft/graph/graph_data.h>
#include <weft/graph/sources.h>
#include <weft/graph/user_rule.h>

#include <algorithm>
#include <string>

namespace weft {

std::string str(const std::source_location& where) {
  std::string_view file = where.file_name();
  if (const auto slash = file.find_last_of('/'); slash != std::string_view::npos) file.remove_prefix(slash + 1);
  return fmt::format("{}:{}", file, where.line());
}

std::string Problem::str() const {
  std::string text = fmt::format("{} ({}): {}", path, weft::str(where), message);
  if (!operands.empty()) text += "\n" + operands;
  return text;
}

void GraphData::insert(std::shared_ptr<const Node> shared) {
  const Node& node = *shared;
  const Vertex vertex = boost::add_vertex(NodeVertex{std::move(shared)}, nodes);
  order.push_back(node.id);
  if (vertex_of.size() <= node.id) vertex_of.resize(node.id + 1, no_vertex);
  vertex_of[node.id] = vertex;
  next_id = std::max(next_id, node.id + 1);
  names.emplace(node.name, node.id);
  for (std::uint32_t i = 0; i < node.operands.size(); ++i)
    if (node.operands[i].node != no_node)
      boost::add_edge(vertex_of[node.operands[i].node], vertex, OperandEdge{node.operands[i].output, i}, nodes);
}

std::string GraphData::path_of(std::string_view name) const {
  return scope_path.empty() ? std::string(name) : scope_path + "/" + std::string(name);
}

std::string GraphData::unique_name(std::string_view base) {
  const std::string path = path_of(base);
  for (int& count = name_counts[path];; ++count) {
    std::string candidate = count == 0 ? path : fmt::format("{}_{}", path, count);
    if (!names.contains(candidate) && (reserved == nullptr || !reserved->names.contains(candidate))) return candidate;
  }
}

std::uint64_t GraphData::open(ScopeSetting setting) {
  setting.id = ++opened;
  scopes.push_back(std::move(setting));
  apply_scopes();
  return opened;
}

void GraphData::close(std::uint64_t id) {
  std::erase_if(scopes, [id](const ScopeSetting& scope) { return scope.id == id; });
  apply_scopes();
}

void GraphData::apply_scopes() {
  scope_path.clear();
  scope_where.reset();
  made_by = {};
  made_where.reset();
  phase = Phase::micro;
  for (const ScopeSetting& scope : scopes) {
    if (scope.whole_path) scope_path.clear();
    if (!scope.name.empty()) scope_path += (scope_path.empty() ? "" : "/") + scope.name;
    if (!scope_where) scope_where = scope.where;
    if (scope.made_by) made_by = *scope.made_by;
    if (scope.made_where) made_where = scope.made_where;
    if (scope.phase) phase = *scope.phase;
  }
}

Scope::Scope(std::shared_ptr<GraphData> graph, ScopeSetting setting)
    : graph_(std::move(graph)), id_(graph_->open(std::move(setting))) {}
Scope::Scope(Scope&& other) noexcept : graph_(std::move(other.graph_)), id_(other.id_) { other.graph_ = nullptr; }
Scope::~Scope() {
  if (graph_ != nullptr) graph_->close(id_);
}

Graph::Graph() : data_(std::make_shared<GraphData>()) {}

Dim Graph::dim(std::string_view name, std::int64_t value, Where where) {
  const auto found = data_->dims.find(name);
  if (found != data_->dims.end()) {
    WEFT_CHECK(found->second.first == value, "dim '{}' is {} at {} and {} at {}", name, found->second.first,
               weft::str(found->second.second), value, weft::str(where));
  } else {
    data_->dims.emplace(name, std::pair{value, where});
  }
  return Dim::named(name, value);
}

std::optional<std::int64_t> Graph::extent(Symbol symbol) const {
  const auto found = data_->dims.find(symbol.name());
  if (found == data_->dims.end()) return std::nullopt;
  return found->second.first;
}

namespace {

// Inputs, parameters and states: named by their path, once.
Value add_source(const std::shared_ptr<GraphData>& data, const OpDef& op, std::string_view name, TensorType type,
                 Attributes attributes, std::source_location where) {
  Graph graph(data);
  where = data->scope_where.value_or(where);  // a module's parameters are of the line that makes the module
  const std::string path = data->path_of(name);
  auto reject = [&](std::string message) {
    graph.add_problem({name.empty() ? op.name : path, where, std::move(message), ""});
    return Value(data, {});
  };
  if (name.empty()) return reject(fmt::format("{} needs a name", op.name));
  if (const auto found = data->names.find(path); found != data->names.end())
    return reject(
        fmt::format("the name '{}' is taken: first used at {}; hint: put one of them under "
                    "graph.scope(...), or call the module twice to share its weights",
                    path, weft::str(data->node(found->second).where)));
  try {
    type.check();
  } catch (const UserError& error) {
    return reject(error.reason);
  }
  attributes.set("dtype", type.dtype);
  attributes.set("shape", type.shape);
  Node node{.id = data->next_id,
            .op = &op,
            .attributes = std::move(attributes),
            .operands = {},
            .types = {type},
            .name = path,
            .where = where,
            .provenance = data->made_by,
            .phase = Phase::step};
  const NodeId id = node.id;
  data->insert(std::move(node));
  return {data, {id, 0}};
}

Attributes describe(const Initializer& init) {
  Attributes attributes{{"init", init.kind}, {"init_a", init.a}, {"init_b", init.b}};
  if (init.values != nullptr) attributes.set("init_values", init.values);
  return attributes;
}

}  // namespace

Value Graph::input(std::string_view name, DType dtype, Shape shape, Where where) {
  return add_source(data_, input_op(), name, {dtype, std::move(shape)}, {}, where);
}
Value Graph::parameter(std::string_view name, TensorType type, const Initializer& init, Where where) {
  return add_source(data_, parameter_op(), name, std::move(type), describe(init), where);
}
Value Graph::state(std::string_view name, TensorType type, const Initializer& init, Where where) {
  return add_source(data_, state_op(), name, std::move(type), describe(init), where);
}

Value Graph::constant(Constant value, Where where) {
  WEFT_CHECK(value.bytes.size() == value.type.bytes(), "a constant of {} needs {} bytes, got {}", value.type.str(),
             value.type.bytes(), value.bytes.size());
  const TensorType type = value.type;
  return apply(constant_op(), {},
               {{"dtype", type.dtype},
                {"shape", type.shape},
                {"value", std::make_shared<const Constant>(std::move(value))}},
               where)
      .front();
}

void Graph::update(const Value& state, const Value& value, Where where) {
  if (!state.valid() || !value.valid()) return;
  const Node& target = node(state);
  auto reject = [&](std::string message) { add_problem({target.name, where, std::move(message), ""}); };
  if (target.op != &state_op() && target.op != &parameter_op())
    return reject(fmt::format("only a state or a parameter can be updated, this is the op {}", target.op->name));
  if (state.type() != value.type())
    return reject(fmt::format("an update must keep the type: expected {}, got {} from {}", state.type().str(),
                              value.type().str(), value.name()));
  for (const auto& [old, unused] : data_->updates)
    if (old == state.ref()) return reject("a state can be updated once a step, this is the second update");
  data_->updates.emplace_back(state.ref(), value.ref());
}

Scope Graph::scope(std::string_view name) { return {data_, {.name = std::string(name)}}; }

Scope Graph::scope(std::string_view name, Where where) { return {data_, {.name = std::string(name), .where = where}}; }

Scope Graph::made_by(std::string_view pass, NodeId origin) {
  ScopeSetting setting{.made_by = Provenance{std::string(pass), origin}};
  if (data_->has(origin)) setting.made_where = data_->node(origin).where;
  return {data_, std::move(setting)};
}

Scope Graph::phase(Phase phase) { return {data_, {.phase = phase}}; }

std::source_location GraphData::line_of(std::source_location own) const {
  if (made_where) return *made_where;
  if (const auto user = UserLine::current()) return *user;
  return scope_where.value_or(own);
}

std::string describe_operands(const Graph& graph, const std::vector<Value>& operands) {
  std::string text;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].valid()) continue;
    const Node& from = graph.node(operands[i]);
    text += fmt::format("{}    operand {}: {} from {} ({})", text.empty() ? "" : "\n", i, operands[i].type().str(),
                        operands[i].name(), str(from.where));
  }
  return text;
}

namespace {

// Whether `inner` may capture values of `outer`.
bool is_nested_in(const GraphData& inner, const std::shared_ptr<GraphData>& outer) {
  for (const GraphData* data = &inner; data->outer != nullptr; data = data->outer.get())
    if (data->outer == outer) return true;
  return false;
}

}  // namespace

Values Graph::apply(const OpDef& op, const Values& operands, Attributes attributes, Where where) {
  for (const Value& operand : operands)  // built where the innermost operand is
    if (!operand.absent() && operand.graph_data() != data_ && is_nested_in(*operand.graph_data(), data_))
      return operand.graph().apply(op, operands, std::move(attributes), where);
  where = data_->line_of(where);
  const Values failed(op.outputs.size(), Value(data_, {}));
  for (const Value& operand : operands)
    if (!operand.absent() && !operand.valid()) return failed;  // the operand's own problem waits in the graph

  Node node{.id = no_node,
            .op = &op,
            .attributes = std::move(attributes),
            .operands = {},
            .types = {},
            .name = "",
            .where = where,
            .provenance = data_->made_by,
            .phase = data_->phase};
  std::vector<const TensorType*> in;
  try {
    const int count = static_cast<int>(operands.size());
    WEFT_CHECK(count >= op.least_inputs && (op.most_inputs < 0 || count <= op.most_inputs),
               "expected {} operands, got {}",
               op.least_inputs == op.most_inputs ? fmt::format("{}", op.least_inputs)
               : op.most_inputs < 0              ? fmt::format("at least {}", op.least_inputs)
                                                 : fmt::format("{} to {}", op.least_inputs, op.most_inputs),
               count);
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (operands[i].absent()) {
        node.operands.push_back({});
        in.push_back(nullptr);
        continue;
      }
      const bool outside = operands[i].graph_data() != data_ && is_nested_in(*data_, operands[i].graph_data());
      const Value operand = outside ? captured(operands[i]) : operands[i];
      WEFT_CHECK(operand.graph_data() == data_,
                 "operand {} belongs to another graph; hint: step.find(value) gives the value in a step's graph", i);
      node.operands.push_back(operand.ref());
      in.push_back(&type(operand.ref()));
    }
    node.types = user_rule("its shape rule", [&] { return op.infer({op, node.attributes, in, {}}); });
    const bool more = !op.outputs.empty() && op.outputs.back() == "...";
    const std::size_t named = op.outputs.size() - (more ? 1 : 0);
    WEFT_CHECK(more ? node.types.size() >= named : node.types.size() == named,
               "its shape rule gives {} types, its outputs are {}{}; hint: .outputs names what the rule gives",
               node.types.size(), named, more ? " or more" : "");
    for (const TensorType& made : node.types) made.check();
  } catch (const UserError& error) {
    bool foreign = false;
    for (const Value& operand : operands) foreign |= !operand.absent() && operand.graph_data() != data_;
    add_problem({data_->path_of(op.name), where, fmt::format("[{}] {}", op.name, error.reason),
                 foreign ? "" : describe_operands(*this, operands)});
    return failed;
  }
  node.name = data_->unique_name(op.name);
  const NodeId id = node.id = data_->next_id;  // operands may have been captured meanwhile
  const std::size_t outputs = node.types.size();
  data_->insert(std::move(node));
  Values results;
  for (std::uint32_t i = 0; i < outputs; ++i) results.push_back(value(id, i));
  return results;
}

std::span<const NodeId> Graph::ids() const { return data_->order; }
bool Graph::has(NodeId id) const { return data_->has(id); }

const Node& Graph::node(NodeId id) const {
  WEFT_CHECK(data_->has(id), "this graph has no node {}", id);
  return data_->node(id);
}

void Graph::expect_built(ValueRef ref) const {
  if (ref.node != no_node) return;
  // An invalid value does not know its problem; the first is the one from which others follow.
  WEFT_CHECK(!problems().empty(), "this value failed to build");
  WEFT_FAIL("this value failed to build: {}", problems().front().str());
}

const TensorType& Graph::type(ValueRef ref) const {
  expect_built(ref);
  return node(ref.node).types.at(ref.output);
}

std::vector<NodeId> Graph::users(ValueRef ref) const {
  std::vector<NodeId> users;
  for (auto [at, end] = boost::out_edges(data_->vertex_of[ref.node], data_->nodes); at != end; ++at)
    if (data_->nodes[*at].output == ref.output) users.push_back(data_->order[boost::target(*at, data_->nodes)]);
  return users;
}

std::unique_ptr<Graph::View> Graph::view(const Node& node) const {
  std::vector<const TensorType*> in;
  for (const ValueRef& ref : node.operands) in.push_back(ref.node == no_node ? nullptr : &type(ref));
  auto view = std::unique_ptr<View>(new View{std::move(in), {*node.op, node.attributes, {}, node.types}});
  view->view.in = view->in;
  return view;
}

NodeId Graph::next_id() const { return data_->next_id; }

namespace {
std::vector<Value> sources(const Graph& graph, const OpDef& op) {
  std::vector<Value> found;
  for (NodeId id : graph.ids())
    if (graph.node(id).op == &op) found.push_back(graph.value(id));
  return found;
}
}  // namespace

std::vector<Value> Graph::inputs() const { return sources(*this, input_op()); }
std::vector<Value> Graph::parameters() const { return sources(*this, parameter_op()); }
std::vector<Value> Graph::states() const { return sources(*this, state_op()); }

std::vector<Update> Graph::updates() const {
  std::vector<Update> updates;
  for (const auto& [state, next] : data_->updates) updates.push_back({value(state), value(next), true});
  return updates;
}

std::vector<Update> Graph::take_updates() {
  std::vector<Update> taken = updates();
  data_->updates.clear();
  return taken;
}

Value Graph::find_name(std::string_view path) const {
  const auto found = data_->names.find(path);
  return found == data_->names.end() ? Value(data_, {}) : value(found->second);
}

namespace {

// Where passes moved a value that is no longer in `data`, as far as they recorded it.
ValueRef follow(const GraphData& data, ValueRef ref) {
  while (!data.has(ref.node)) {
    const auto at = data.redirects.find(ref);
    if (at == data.redirects.end()) break;
    ref = at->second;
  }
  return ref;
}

// A value's place in `data`. An id that was not moved means the same in two graphs only if the node's name is the
// same: both may have grown since they were one.
std::optional<ValueRef> locate(const GraphData& data, const Value& value) {
  if (!value.valid() || value.graph_data()->family != data.family) return std::nullopt;
  const ValueRef ref = follow(data, value.ref());
  if (!data.has(ref.node)) return std::nullopt;
  const GraphData& home = *value.graph_data();
  if (ref == value.ref() && home.has(ref.node) && home.node(ref.node).name != data.node(ref.node).name)
    return std::nullopt;
  return ref;
}

}  // namespace

bool Graph::contains(const Value& value) const { return locate(*data_, value).has_value(); }

Value Graph::find(const Value& value) const {
  WEFT_CHECK(!value.absent(),
             "a value that was never built is in no graph: it is the default of Value, or an operand left out");
  value.graph().expect_built(value.ref());
  if (const auto found = locate(*data_, value)) return {data_, *found};
  const auto removed = data_->removed_by.find(follow(*data_, value.ref()).node);
  const std::string name = value.graph_data()->has(value.ref().node) ? "'" + value.name() + "'" : "the value";
  WEFT_CHECK(removed != data_->removed_by.end() && value.graph_data()->family == data_->family,
             "{} is not in this graph: it was built after, or in another one", name);
  WEFT_FAIL("{} was removed by {}; hint: fetch it, so that it is kept", name, removed->second);
}

void Graph::strict(bool on) { data_->strict = on; }
const std::vector<Problem>& Graph::problems() const { return data_->problems; }

void Graph::add_problem(Problem problem) const {
  if (data_->strict) throw UserError(problem.str());
  data_->problems.push_back(std::move(problem));
}

void Graph::refuse(std::string_view name, Where where, std::string message) const {
  where = data_->line_of(where);
  add_problem({data_->path_of(name), where, std::move(message), ""});
}

void Graph::check() const {
  const auto& problems = data_->problems;
  if (problems.empty()) return;
  std::string text =
      problems.size() == 1 ? "the graph has a problem" : fmt::format("the graph has {} problems", problems.size());
  for (const Problem& problem : problems) text += "\n  " + problem.str();
  WEFT_FAIL("{}", text);
}

Graph Graph::nested() const {
  Graph inner;
  inner.data_->outer = data_;
  inner.data_->open({.where = data_->scope_where, .made_where = data_->made_where});
  return inner;
}

Value Graph::captured(const Value& outer) {
  WEFT_INVARIANT(outer.valid() && is_nested_in(*data_, outer.graph_data()),
                 "captured() needs a value of an outer graph");
  const Value source = outer.graph_data() == data_->outer ? outer : Graph(data_->outer).captured(outer);
  for (const Capture& capture : data_->captures)
    if (capture.outer == source.ref()) return value(capture.inner);
  const Node& node = source.node();
  const bool narrow = source.dtype() == bf16 || source.dtype() == f16;
  if (node.operands.empty() && !node.op->traits.source && !node.op->traits.random && !narrow)
    return apply(*node.op, {}, node.attributes, node.where)[source.ref().output];
  const Value inner =
      input(fmt::format("captured/{}", source.name()), narrow ? f32 : source.dtype(), source.shape(), node.where);
  data_->captures.push_back({source.ref(), inner.ref()});
  return inner;
}

const std::vector<Graph::Capture>& Graph::captures() const { return data_->captures; }

Graph Graph::clone() const { return Graph(std::make_shared<GraphData>(*data_)); }

const BoostGraph& as_boost(const Graph& graph) { return graph.data()->nodes; }
Vertex vertex_of(const Graph& graph, NodeId node) { return graph.data()->vertex_of.at(node); }

}  // namespace weft
