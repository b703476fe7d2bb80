#include <weft/ops/attention/score_function.h>

#include <weft/graph/sources.h>
#include <weft/ops/index/index.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace weft {
namespace {

// Extents of the scores by name, so that a member's attributes follow them.
constexpr const char* extent_names[] = {"attention/batch", "attention/heads", "attention/time_q", "attention/time_k"};

constexpr const char* hint =
    "; hint: .method = AttentionMethod::plain computes any function, with a buffer of all scores";

// Named extents are positive; of nothing, any function will do.
Shape all_scores(const ScoreType& type) {
  Shape shape;
  const Dim* const extents[] = {&type.batch, &type.heads, &type.time_q, &type.time_k};
  for (std::size_t axis = 0; axis < 4; ++axis)
    shape.push_back(Dim::named(extent_names[axis], std::max<std::int64_t>(1, extents[axis]->value())));
  return shape;
}

// Inputs of a graph that computes a function of scores.
struct Inputs {
  Shape shape;
  Value score, batch, head, query, key, position;

  Inputs(Graph graph, const ScoreType& type) : shape(all_scores(type)) {
    score = graph.input("score", type.dtype, shape);
    batch = graph.input("batch", i64, {shape[0], 1, 1, 1});
    head = graph.input("head", i64, {shape[1], 1, 1});
    query = graph.input("query", i64, {shape[2], 1});
    key = graph.input("key", i64, {shape[3]});
    position = graph.input("position", i64, {shape[0], 1, shape[2], 1});
  }
  Values all() const { return {score, batch, head, query, key, position}; }
};

bool runs_on_blocks(const OpDef& op) {
  return (op.traits.pointwise && !op.traits.random && !op.traits.source) || &op == &take_op() ||
         &op == &broadcast_to_op() || &op == &full_op() || &op == &constant_op();
}

// The nodes that `outputs` need, over `inputs` (captures last).
std::shared_ptr<ScoreFunction> extract(const Graph& graph, const Values& inputs, const Values& outputs, DType dtype) {
  auto function = std::make_shared<ScoreFunction>();
  function->dtype = dtype;
  function->body.operands = static_cast<int>(inputs.size());
  std::unordered_map<ValueRef, int> number;
  for (const Value& input : inputs) number.emplace(input.ref(), static_cast<int>(number.size()));

  std::unordered_set<NodeId> needed;
  std::vector<NodeId> open;
  for (const Value& output : outputs) open.push_back(output.ref().node);
  while (!open.empty()) {
    const NodeId id = open.back();
    open.pop_back();
    if (number.contains({id, 0}) || !needed.insert(id).second) continue;
    for (const ValueRef& ref : graph.node(id).operands)
      if (ref.node != no_node) open.push_back(ref.node);
  }
  int next = function->body.operands;
  for (const NodeId id : graph.ids()) {
    if (!needed.contains(id)) continue;
    const Node& node = graph.node(id);
    WEFT_CHECK(runs_on_blocks(*node.op),
               "'{}' ({}): {} is not pointwise, and a function of scores runs block by block{}", node.name,
               str(node.where), node.op->name, hint);
    RowRegion::Member member{node.op, node.attributes, {}, static_cast<int>(node.types.size()), node.name, node.where};
    for (std::size_t i = 0; i < node.operands.size(); ++i) {
      if (node.operands[i].node == no_node || (node.op == &take_op() && i == 0)) continue;
      WEFT_CHECK(graph.node(node.operands[i].node).op != &constant_op() || graph.type(node.operands[i]).count() == 1,
                 "'{}' ({}) reads a constant of {}: only take() reads one that is no single number{}", node.name,
                 str(node.where), graph.type(node.operands[i]).str(), hint);
    }
    for (const ValueRef& ref : node.operands)
      member.operands.push_back(ref.node == no_node ? RowRegion::absent : number.at(ref));
    for (std::uint32_t k = 0; k < node.types.size(); ++k) number[{id, k}] = next++;
    function->body.members.push_back(std::move(member));
  }
  WEFT_CHECK(next <= 512, "a function of scores of {} nodes is too long: at most 512 values{}",
             function->body.members.size(), hint);
  for (const Value& output : outputs) function->body.outputs.push_back(number.at(output.ref()));
  return function;
}

// Which captures are tables: operand 0 of take().
std::vector<bool> find_tables(const ScoreFunction& function) {
  std::vector<bool> table(static_cast<std::size_t>(function.captured), false), read = table;
  for (const RowRegion::Member& member : function.body.members)
    for (std::size_t i = 0; i < member.operands.size(); ++i) {
      const int capture = member.operands[i] - ScoreFunction::captures;
      if (capture < 0 || capture >= function.captured) continue;
      (member.op == &take_op() && i == 0 ? table : read)[static_cast<std::size_t>(capture)] = true;
    }
  for (std::size_t c = 0; c < table.size(); ++c)
    WEFT_CHECK(!(table[c] && read[c]), "captured value {} is a table of take() and an operand of another op{}", c,
               hint);
  return table;
}

std::vector<TensorType> types_of(const Values& values) {
  std::vector<TensorType> types;
  for (const Value& value : values) types.push_back(value.type());
  return types;
}

}  // namespace

bool ScoreFunction::same(const Description& other) const {
  const auto* function = dynamic_cast<const ScoreFunction*>(&other);
  return function != nullptr && dtype == function->dtype && captured == function->captured &&
         has_cotangent == function->has_cotangent && body.same(function->body) &&
         std::ranges::equal(gradients, function->gradients, [](const CaptureGradient& a, const CaptureGradient& b) {
           return a.capture == b.capture && a.output == b.output && a.ids == b.ids;
         });
}

bool ScoreFunction::reads(int input) const {
  std::vector<bool> depends(static_cast<std::size_t>(body.operands), false);
  depends[static_cast<std::size_t>(input)] = true;
  for (const RowRegion::Member& member : body.members) {
    const bool any = std::ranges::any_of(member.operands, [&](int value) {
      return value != RowRegion::absent && depends[static_cast<std::size_t>(value)];
    });
    depends.insert(depends.end(), static_cast<std::size_t>(member.outputs), any);
  }
  return depends[static_cast<std::size_t>(body.outputs.front())];
}

Attributes ScoreFunction::attributes(const RowRegion::Member& member, DType score,
                                     const std::vector<std::int64_t>& extents) const {
  Attributes result = member.attributes;
  for (std::size_t i = 0; i < extents.size(); ++i) result = result.with_extent(Symbol(extent_names[i]), extents[i]);
  if (score == dtype) return result;
  for (const Attributes::Entry& entry : member.attributes)
    if (const auto* type = std::get_if<DType>(&entry.value); type != nullptr && *type == dtype)
      result.set(entry.name, score);
  return result;
}

std::vector<TensorType> ScoreFunction::block_types(DType score, const std::vector<TensorType>& captured_types,
                                                   std::int64_t rows, std::int64_t columns) const {
  const std::vector<std::int64_t> extents{1, 1, rows, columns};
  std::vector<TensorType> types{
      {score, {1, 1, rows, columns}}, {i64, {1, 1, 1, 1}}, {i64, {1, 1, 1}}, {i64, {rows, 1}}, {i64, {columns}},
      {i64, {1, 1, rows, 1}}};
  for (std::size_t c = 0; c < captured_types.size(); ++c) {
    TensorType type = captured_types[c];
    WEFT_CHECK(!is_float(type.dtype) || (type.dtype == f64) == (score == f64),
               "a function of {} scores cannot read {}; hint: cast it", name_of(score), type.str());
    if (is_float(type.dtype)) type.dtype = score;
    for (int axis = 0; axis < type.shape.rank() && !tables[c]; ++axis) {
      const int of_four = axis + 4 - type.shape.rank();
      WEFT_CHECK(of_four >= 0, "a captured value of rank {} does not broadcast to scores{}", type.shape.rank(), hint);
      if (type.shape.extent(axis) != 1) type.shape[axis] = extents[static_cast<std::size_t>(of_four)];
    }
    types.push_back(type);
  }
  if (has_cotangent) types.push_back(types[Input::score]);
  for (const RowRegion::Member& member : body.members) {
    std::vector<const TensorType*> in;
    for (int value : member.operands)
      in.push_back(value == RowRegion::absent ? nullptr : &types[static_cast<std::size_t>(value)]);
    const Attributes attributes_here = attributes(member, score, extents);
    const std::vector<TensorType> out = member.op->infer({*member.op, attributes_here, in, {}});
    for (const TensorType& type : out) {
      bool fits = type.shape.rank() <= 4 || member.op == &constant_op();
      for (int axis = 0; fits && axis < type.shape.rank() && member.op != &constant_op(); ++axis) {
        const std::int64_t extent = type.shape.extent(axis);
        fits = extent == 1 || extent == extents[static_cast<std::size_t>(axis + 4 - type.shape.rank())];
      }
      WEFT_CHECK(fits, "'{}' ({}): {} has a shape that does not follow the scores{}", member.name,
                 weft::str(member.where), member.op->name, hint);
    }
    types.insert(types.end(), out.begin(), out.end());
  }
  return types;
}

Values ScoreFunction::build(Graph graph, const Values& inputs) const {
  WEFT_INVARIANT(static_cast<int>(inputs.size()) == body.operands, "{} inputs of a function of {}", inputs.size(),
                 body.operands);
  const Shape& shape = inputs[score].shape();
  const DType type = inputs[score].dtype();
  Values values = inputs;
  for (int c = captures; c < captures + captured; ++c) {
    Value& value = values[static_cast<std::size_t>(c)];
    if (is_float(value.dtype()) && value.dtype() != type) value = cast(value, type);
  }
  for (const RowRegion::Member& member : body.members) {
    Values in;
    for (int value : member.operands)
      in.push_back(value == RowRegion::absent ? Value{} : values[static_cast<std::size_t>(value)]);
    for (Value& value : graph.apply(*member.op, in, attributes(member, type, shape.extents()), member.where))
      values.push_back(std::move(value));
  }
  Values outputs;
  for (int value : body.outputs) outputs.push_back(values[static_cast<std::size_t>(value)]);
  return outputs;
}

TracedScore trace_score(const Graph& outer, const ScoreType& type, DType result,
                        const std::function<Value(const AttentionScore&)>& function, std::source_location where) {
  Graph inner = outer.nested();
  const Inputs in(inner, type);
  Value given = function(AttentionScore{{in.batch, in.head, in.query, in.key, in.position}, in.score});
  for (const Problem& problem : inner.problems()) outer.add_problem(problem);
  if (!inner.problems().empty() || (!given.absent() && !given.valid())) return {};
  WEFT_CHECK(!given.absent(), "a function of scores ({}) gave no value", str(where));
  if (given.graph() != inner) given = inner.captured(given);
  WEFT_CHECK(given.dtype() == result && broadcasts_to(given.shape(), in.shape),
             "a function of scores ({}) must give {} that broadcasts to {}, got {}", str(where), name_of(result),
             in.shape.str(), given.type().str());
  if (given.shape() != in.shape) given = broadcast_to(given, in.shape);

  Values inputs = in.all(), captured;
  for (const Graph::Capture& capture : inner.captures()) {
    inputs.push_back(inner.value(capture.inner));
    captured.push_back(outer.value(capture.outer));
  }
  WEFT_CHECK(captured.size() <= ScoreFunction::most_captures, "a function of scores ({}) may read {} values, not {}{}",
             str(where), ScoreFunction::most_captures, captured.size(), hint);
  auto traced = extract(inner, inputs, {given}, type.dtype);
  traced->captured = static_cast<int>(captured.size());
  traced->tables = find_tables(*traced);
  traced->block_types(type.dtype, types_of(captured), 3, 5);  // refuses what does not run on blocks
  return {traced, captured};
}

std::shared_ptr<const ScoreFunction> derivative(const ScoreFunction& function, const ScoreType& type,
                                                const std::vector<TensorType>& types, const std::vector<bool>& wanted,
                                                const Backward& walk) {
  using Capture = ScoreFunction::CaptureGradient;
  Graph graph;
  const Inputs in(graph, type);
  Values inputs = in.all(), leaves{in.score}, ids;
  std::vector<Capture> gradients;
  for (std::size_t c = 0; c < types.size(); ++c) {
    Shape shape = types[c].shape;
    for (int axis = 0; axis < shape.rank() && !function.tables[c]; ++axis)
      if (shape.extent(axis) != 1) shape[axis] = in.shape[axis + 4 - shape.rank()];
    inputs.push_back(
        graph.input(fmt::format("captured/{}", c), is_float(types[c].dtype) ? type.dtype : types[c].dtype, shape));
  }
  const Value cotangent = graph.input("cotangent", type.dtype, in.shape);

  Values values = inputs;
  for (std::size_t c = 0; c < types.size(); ++c) {
    if (!wanted[c] || function.tables[c]) continue;
    Value& value = values[ScoreFunction::captures + c];
    value = broadcast_to(value, in.shape);  // one number for each score: attention sums them
    gradients.push_back({.capture = static_cast<int>(c)});
    leaves.push_back(value);
    ids.emplace_back();
  }
  for (const RowRegion::Member& member : function.body.members) {
    Values operands;
    for (int value : member.operands)
      operands.push_back(value == RowRegion::absent ? Value{} : values[static_cast<std::size_t>(value)]);
    const int capture = member.op == &take_op() ? member.operands[0] - ScoreFunction::captures : -1;
    const bool table = capture >= 0 && capture < function.captured && wanted[static_cast<std::size_t>(capture)];
    if (table && operands[1].shape() != in.shape) operands[1] = broadcast_to(operands[1], in.shape);
    const Attributes attributes = function.attributes(member, type.dtype, in.shape.extents());
    for (Value& value : graph.apply(*member.op, operands, attributes, member.where)) {
      if (table) {
        gradients.push_back({.capture = capture});
        leaves.push_back(value);
        ids.push_back(operands[1]);
      }
      values.push_back(std::move(value));
    }
  }
  graph.check();

  const Value score = values[static_cast<std::size_t>(function.body.outputs.front())];
  const std::vector<Value> d = walk.vector_jacobian({score}, {cotangent}, leaves);
  Values outputs{score, d[0].valid() ? d[0] : zeros(graph, in.shape, type.dtype)};
  std::vector<Capture> given;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!d[i + 1].valid()) continue;
    Capture gradient = gradients[i];
    gradient.output = static_cast<int>(outputs.size());
    outputs.push_back(d[i + 1]);
    if (ids[i].valid()) {
      gradient.ids = static_cast<int>(outputs.size());
      outputs.push_back(ids[i]);
    }
    given.push_back(gradient);
  }
  inputs.push_back(cotangent);
  auto result = extract(graph, inputs, outputs, type.dtype);
  result->captured = function.captured;
  result->has_cotangent = true;
  result->tables = function.tables;
  result->gradients = given;
  result->block_types(type.dtype, types, 3, 5);
  return result;
}

const ScoreFunction* score_function(const Attributes& attributes, std::string_view name) {
  if (!attributes.has(name)) return nullptr;
  const auto* function =
      dynamic_cast<const ScoreFunction*>(attributes.get<std::shared_ptr<const Description>>(name).get());
  WEFT_INVARIANT(function != nullptr, "attribute '{}' of attention is something else", name);
  return function;
}

}  // namespace weft
