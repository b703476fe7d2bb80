#include <weft/ops/fuse/chunk_projection_loss.h>

#include <weft/graph/pass.h>
#include <weft/graph/rewrite.h>
#include <weft/ops/fuse/linear_cross_entropy.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/loss/cross_entropy.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <optional>
#include <unordered_set>

namespace weft {
namespace {

constexpr const char* name = "chunk_projection_loss";

// The nodes that become one.
struct Found {
  NodeId projection = no_node, loss = no_node, backward = no_node;  // no backward: evaluation
  ValueRef x, weight, bias, seed;
  std::vector<NodeId> d_x, d_weight, d_bias;
  std::vector<NodeId> views;    // d_logits under another shape
  std::vector<NodeId> widened;  // casts of a narrow d_weight to f32, in which it is summed
};

class Finder {
 public:
  Finder(const Step& step, std::int64_t chunk) : graph_(step.graph), chunk_(chunk) {
    for (const Value& root : step.roots())
      if (root.valid()) roots_.insert(root.ref());
  }

  std::optional<Found> next() const {
    for (const NodeId id : graph_.ids())
      if (graph_.node(id).op == &cross_entropy_op())
        if (std::optional<Found> found = match(graph_.node(id))) return found;
    return std::nullopt;
  }

 private:
  std::optional<Found> match(const Node& loss) const {
    Found found;
    found.loss = loss.id;
    const ValueRef logits = loss.operands.front();
    if (!is_large(loss) || !is_projection(logits, found) || roots_.contains(logits)) return std::nullopt;
    for (const NodeId id : graph_.users(logits)) {
      if (id == loss.id) continue;
      if (found.backward != no_node || graph_.node(id).op != &cross_entropy_backward_op()) return std::nullopt;
      found.backward = id;
    }
    if (found.backward != no_node && !is_backward(loss, found)) return std::nullopt;
    for (const std::vector<NodeId>& ids :
         {std::vector{found.projection, found.backward}, found.d_x, found.d_weight, found.d_bias})
      for (const NodeId id : ids)
        if (id != no_node && graph_.node(id).phase != loss.phase) return std::nullopt;
    return found;
  }

  // More than one chunk.
  bool is_large(const Node& loss) const {
    const TensorType& logits = graph_.type(loss.operands.front());
    const std::int64_t rows = graph_.type(loss.operands[1]).count();
    return rows > (chunk_ > 0 ? chunk_ : projection_chunk(rows, logits.shape.extent(-1), logits.dtype));
  }

  bool is_projection(ValueRef logits, Found& found) const {
    const Node& node = graph_.node(logits.node);
    const bool transposed = node.op == &matmul_op() && node.attributes.flag("transpose_b") &&
                            !node.attributes.flag("transpose_a") && graph_.type(node.operands[1]).shape.rank() == 2;
    if (node.op != &linear_op() && !transposed) return false;
    found.projection = node.id;
    found.x = node.operands[0];
    found.weight = node.operands[1];
    if (node.operands.size() > 2) found.bias = node.operands[2];
    return true;
  }

  // The cotangent of these logits from this loss, of which all readers are gradients of the projection.
  bool is_backward(const Node& loss, Found& found) const {
    const Node& node = graph_.node(found.backward);
    const auto class_weights = [](const Node& of, std::size_t i) {
      return i < of.operands.size() ? of.operands[i] : ValueRef{};
    };
    const bool same = node.operands[0] == loss.operands[0] && node.operands[1] == loss.operands[1] &&
                      class_weights(node, 3) == class_weights(loss, 2) && node.attributes == loss.attributes;
    found.seed = node.operands[2];
    return same && !depends_on_loss(found.seed, loss.id) && are_gradients({node.id, 0}, found);
  }

  bool depends_on_loss(ValueRef value, NodeId loss) const {
    std::vector<bool> depends(graph_.next_id(), false);
    for (const NodeId id : graph_.ids()) {
      for (const ValueRef& ref : graph_.node(id).operands)
        if (ref.node != no_node)
          depends[id] = depends[id] || depends[ref.node] || (ref.node == loss && ref.output != 1);
      if (id == value.node) break;
    }
    return depends[value.node] || (value.node == loss && value.output != 1);
  }

  // Whether all readers of d (d_logits, or those rows as a matrix) are products and sums that the one node makes.
  bool are_gradients(ValueRef d, Found& found) const {
    if (roots_.contains(d)) return false;
    const Shape& shape = graph_.type(d).shape;
    for (const NodeId id : graph_.users(d)) {
      const Node& node = graph_.node(id);
      const bool ta = node.attributes.flag("transpose_a"), tb = node.attributes.flag("transpose_b");
      const bool product = node.op == &matmul_op() && node.operands[0] == d && !(node.operands[1] == d) && !tb;
      if (product && !ta && node.operands[1] == found.weight && shape == graph_.type({found.projection, 0}).shape) {
        found.d_x.push_back(id);
      } else if (product && ta && shape.rank() == 2 && are_rows_of_x(node.operands[1], found)) {
        found.d_weight.push_back(id);
        for (const NodeId reader : graph_.users({id, 0}))
          if (graph_.node(reader).op == &cast_op() && graph_.type(d).dtype != f64 &&
              graph_.node(reader).types[0].dtype == f32)
            found.widened.push_back(reader);
      } else if (node.op == &sum_op() && found.bias.node != no_node && sums_rows(node, shape)) {
        found.d_bias.push_back(id);
      } else if (node.op == &reshape_op() && is_matrix_of(node.types[0].shape, shape) && d.node == found.backward) {
        if (!are_gradients({id, 0}, found)) return false;
        found.views.push_back(id);
      } else {
        return false;
      }
    }
    return true;
  }

  bool are_rows_of_x(ValueRef ref, const Found& found) const {
    if (ref == found.x) return true;
    const Node& node = graph_.node(ref.node);
    return node.op == &reshape_op() && node.operands[0] == found.x &&
           is_matrix_of(node.types[0].shape, graph_.type(found.x).shape);
  }

  static bool is_matrix_of(const Shape& matrix, const Shape& shape) {
    return matrix.rank() == 2 && shape.rank() >= 1 && matrix.extent(-1) == shape.extent(-1);
  }

  static bool sums_rows(const Node& sum, const Shape& shape) {
    return sum.types[0].shape.rank() == 1 && !sum.attributes.flag("keep") &&
           std::ranges::none_of(sum.attributes.integers("axes"),
                                [&](std::int64_t axis) { return axis == -1 || axis == shape.rank() - 1; });
  }

  const Graph& graph_;
  std::int64_t chunk_;
  std::unordered_set<ValueRef> roots_;
};

class Fusion {
 public:
  Fusion(const Step& step, const Found& found, std::int64_t chunk)
      : step_(step), found_(found), chunk_(chunk), rebuild_(step.graph, name), inside_(step.graph.next_id(), false) {
    for (const NodeId id : {found.projection, found.loss, found.backward})
      if (id != no_node) inside_[id] = true;
    for (const std::vector<NodeId>* ids : {&found.d_x, &found.d_weight, &found.d_bias, &found.views, &found.widened})
      for (const NodeId id : *ids) inside_[id] = true;
  }

  Step run() {
    // Where the one node has to wait for the seed, so have the readers of the loss.
    const NodeId place = found_.backward != no_node ? found_.backward : found_.loss;
    std::vector<NodeId> waiting;
    for (const NodeId id : step_.graph.ids()) {
      const Node& node = step_.graph.node(id);
      if (id == found_.loss && id != place) replace_weight(node);
      if (id == place) {
        replace_all();
        for (const NodeId reader : waiting) rebuild_.keep(step_.graph.node(reader));
      }
      if (inside_[id]) continue;
      const bool ready = std::ranges::all_of(
          node.operands, [&](const ValueRef& ref) { return ref.node == no_node || rebuild_.mapped(ref); });
      if (ready) rebuild_.keep(node);
      else waiting.push_back(id);
    }
    return step_.over(rebuild_.finish());
  }

 private:
  Value here(ValueRef ref) const { return ref.node == no_node ? Value{} : rebuild_.map(ref); }
  Value operand(const Node& node, std::size_t i) const {
    return i < node.operands.size() ? here(node.operands[i]) : Value{};
  }

  // The weight alone, for seeds that are divided by it.
  void replace_weight(const Node& loss) {
    const Scope scope = rebuild_.in_place_of(loss);
    const std::int64_t classes = step_.graph.type(loss.operands[0]).shape.extent(-1);
    const Value weight = rebuild_.to()
                             .apply(cross_entropy_weight_op(), {operand(loss, 1), operand(loss, 2)},
                                    loss.attributes.with("classes", classes))
                             .front();
    weight_ = cast(weight, loss.types[1].dtype);
    rebuild_.replace(loss, {{}, weight_});
  }

  void replace_all() {
    const Graph& from = step_.graph;
    const Node& loss = from.node(found_.loss);
    const Scope scope = rebuild_.in_place_of(loss);
    Attributes attributes = loss.attributes;
    if (chunk_ > 0) attributes.set("chunk", chunk_);
    rebuild_.drop(from.node(found_.projection));
    const Value x = here(found_.x), weight = here(found_.weight), bias = here(found_.bias);
    const Value targets = operand(loss, 1), class_weights = operand(loss, 2);
    if (found_.backward == no_node) {
      rebuild_.replace(
          loss, rebuild_.to().apply(linear_cross_entropy_op(), {x, weight, targets, bias, class_weights}, attributes));
      return;
    }
    if (!found_.d_x.empty()) attributes.set("d_x", true);
    if (!found_.d_weight.empty()) attributes.set("d_weight", true);
    if (!found_.d_bias.empty()) attributes.set("d_bias", true);
    const Values made = rebuild_.to().apply(linear_cross_entropy_gradients_op(),
                                            {x, weight, targets, bias, class_weights, here(found_.seed)}, attributes);
    rebuild_.replace(loss, {made[0], weight_, made[1], made[2]});
    rebuild_.drop(from.node(found_.backward));
    for (const NodeId id : found_.views) rebuild_.drop(from.node(id));
    for (const NodeId id : found_.d_x) rebuild_.replace(from.node(id), {made[3]});
    for (const NodeId id : found_.d_weight)
      rebuild_.replace(from.node(id), {cast(made[4], from.node(id).types[0].dtype)});
    for (const NodeId id : found_.widened) rebuild_.replace(from.node(id), {made[4]});
    for (const NodeId id : found_.d_bias) rebuild_.replace(from.node(id), {made[5]});
  }

  const Step& step_;
  const Found& found_;
  std::int64_t chunk_;
  Rebuild rebuild_;
  std::vector<bool> inside_;
  Value weight_;
};

}  // namespace

Step chunk_projection_loss(const Step& step, std::int64_t chunk) {
  Step result = step;
  while (const std::optional<Found> found = Finder(result, chunk).next()) result = Fusion(result, *found, chunk).run();
  return result;
}

const Pass& chunk_projection_loss_pass() {
  static const Pass pass{.name = name, .run = [](const Step& step) { return chunk_projection_loss(step); }};
  return pass;
}

}  // namespace weft
