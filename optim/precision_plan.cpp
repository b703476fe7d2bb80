#include <weft/graph/glob.h>
#include <weft/optim/precision_plan.h>

#include <algorithm>

namespace weft {
namespace {

const PrecisionOverride* override_of(const MixedPrecisionOptions& options, const Node& node) {
  const auto found = std::ranges::find_if(options.overrides,
                                          [&](const PrecisionOverride& o) { return matches(o.pattern, node.name); });
  return found == options.overrides.end() ? nullptr : &*found;
}

// Operands that are f32 beside bf16 and f16 ones, as the op's samples say: statistics, weights of a loss.
bool is_wide(const OpDef& op, std::size_t i) {
  return std::ranges::any_of(op.samples, [&](const Sample& s) { return i < s.inputs.size() && s.inputs[i].wide; });
}

}  // namespace

PrecisionPlan::PrecisionPlan(const Graph& graph, const std::vector<bool>& stays, DType low,
                             const MixedPrecisionOptions& options)
    : graph_(graph), low_(low), options_(options), feeds_product_(graph.next_id(), false) {
  expect_used(options, stays);
  mark_tail(stays);
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (!stays[id] || node.op->traits.source) continue;
    // What an op refuses, or has no kernel for, runs as it was built.
    if (!accept(node, by_policy(node))) {
      const bool as_built = accept(node, declared(node));
      WEFT_INVARIANT(as_built, "mixed_precision: '{}' refuses the types it was built with", node.name);
    }
  }
}

void PrecisionPlan::expect_used(const MixedPrecisionOptions& options, const std::vector<bool>& stays) const {
  for (const PrecisionOverride& o : options.overrides) {
    WEFT_CHECK(o.dtype == f32 || o.dtype == low_, "mixed_precision({}): '{}' can run in f32 or {}, got {}",
               name_of(low_), o.pattern, name_of(low_), name_of(o.dtype));
    std::string first;
    int listed = 0;
    bool used = false;
    for (const NodeId id : graph_.ids()) {
      const Node& node = graph_.node(id);
      if (!stays[id] || node.op->traits.source) continue;
      used |= matches(o.pattern, node.name);
      if (listed++ < 3) first += (first.empty() ? "" : ", ") + node.name;
    }
    WEFT_CHECK(used, "mixed_precision({}): the override '{}' matches no node; hint: the first of {} are {}",
               name_of(low_), o.pattern, listed, first);
  }
}

// From the end: which nodes a product in `low` depends on. All others are the tail: losses, metrics, statistics.
void PrecisionPlan::mark_tail(const std::vector<bool>& stays) {
  const auto ids = graph_.ids();
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
    if (!stays[*id]) continue;
    const Node& node = graph_.node(*id);
    if (!feeds_product_[*id] && !lowers(node)) continue;
    for (const ValueRef& ref : node.operands)
      if (ref.node != no_node) feeds_product_[ref.node] = true;
  }
}

Precision PrecisionPlan::policy_of(const Node& node) const {
  if (const PrecisionOverride* o = override_of(options_, node))
    return o->dtype == f32 ? Precision::f32 : Precision::low;
  return node.op->traits.precision;
}

bool PrecisionPlan::may_change(const Node& node, std::size_t i) const {
  const ValueRef ref = node.operands[i];
  return ref.node != no_node && graph_.type(ref).dtype == f32 && !is_wide(*node.op, i);
}

bool PrecisionPlan::lowers(const Node& node) const {
  if (node.op->traits.source || policy_of(node) != Precision::low) return false;
  bool any = false;
  for (std::size_t i = 0; i < node.operands.size(); ++i) {
    any |= may_change(node, i);
    const ValueRef ref = node.operands[i];
    WEFT_CHECK(
        ref.node == no_node || graph_.type(ref).dtype != f64,
        "mixed_precision({}) lowers f32, and '{}' ({}) computes in f64; hint: build the model in f32, or keep this "
        "part as it is: {{.overrides = {{{{\"{}\", f32}}}}}}",
        name_of(low_), node.name, str(node.where), node.name);
  }
  return any;
}

PrecisionPlan::Types PrecisionPlan::declared(const Node& node) const {
  Types types;
  for (const ValueRef& ref : node.operands) types.push_back(ref.node == no_node ? f32 : graph_.type(ref).dtype);
  return types;
}

PrecisionPlan::Types PrecisionPlan::by_policy(const Node& node) const {
  const Precision policy = policy_of(node);
  if (policy == Precision::low) {
    Types types = declared(node);
    for (std::size_t i = 0; i < types.size(); ++i)
      if (may_change(node, i)) types[i] = low_;
    return types;
  }
  if (policy == Precision::f32) return declared(node);
  const Types types = promoted(node, policy == Precision::widest);
  return feeds_product_[node.id] || !loses_digits(node, types) ? types : declared(node);
}

// Whether the op rounds an operand or gives a low output. Cross entropy of low logits does neither: it reads them and
// computes in f32, so a widened copy of them would change nothing.
bool PrecisionPlan::loses_digits(const Node& node, const Types& types) const {
  for (std::size_t i = 0; i < types.size(); ++i)
    if (may_change(node, i) && types[i] == low_ && computed(node.operands[i]) != low_) return true;
  const auto given = outputs(node, types);
  return !given || std::ranges::any_of(*given, [&](const TensorType& type) { return type.dtype == low_; });
}

// PyTorch's type promotion: the widest of the tensors' types; scalars (no axes) decide only among themselves.
PrecisionPlan::Types PrecisionPlan::promoted(const Node& node, bool scalars_count) const {
  bool low_tensor = false, wide_tensor = false, low_scalar = false, wide_scalar = false;
  for (std::size_t i = 0; i < node.operands.size(); ++i) {
    if (!may_change(node, i)) continue;
    const bool is_low = computed(node.operands[i]) == low_;
    const bool scalar = !scalars_count && graph_.type(node.operands[i]).shape.rank() == 0;
    (scalar ? (is_low ? low_scalar : wide_scalar) : (is_low ? low_tensor : wide_tensor)) = true;
  }
  Types types = declared(node);
  const bool lowered = low_tensor || wide_tensor ? !wide_tensor : low_scalar && !wide_scalar;
  for (std::size_t i = 0; i < types.size() && lowered; ++i)
    if (may_change(node, i)) types[i] = low_;
  return types;
}

// What a node gives for operands of those types; nothing where its op refuses them or has no kernel for them.
std::optional<std::vector<TensorType>> PrecisionPlan::outputs(const Node& node, const Types& types) const {
  std::vector<TensorType> operands;
  operands.reserve(types.size());
  std::vector<const TensorType*> in;
  bool changed = false;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const ValueRef ref = node.operands[i];
    operands.push_back(ref.node == no_node ? TensorType{} : TensorType{types[i], graph_.type(ref).shape});
    in.push_back(ref.node == no_node ? nullptr : &operands.back());
    changed |= ref.node != no_node && types[i] != graph_.type(ref).dtype;
  }
  if (!changed) return node.types;
  std::vector<TensorType> given;
  try {
    given = node.op->infer({*node.op, node.attributes, in, {}});
  } catch (const UserError&) {
    return std::nullopt;
  }
  const OpView view{*node.op, node.attributes, in, given};
  if (!node.op->traits.view && node.op->kernel(kernel_dtype(view)) == nullptr) return std::nullopt;
  for (std::size_t k = 0; k < given.size(); ++k)
    if (given[k].dtype != node.types[k].dtype && (node.types[k].dtype != f32 || given[k].dtype != low_))
      return std::nullopt;
  return given;
}

bool PrecisionPlan::accept(const Node& node, const Types& types) {
  const auto given = outputs(node, types);
  if (!given) return false;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const ValueRef ref = node.operands[i];
    if (ref.node != no_node && computed(ref) != types[i]) ++casts_[ref][types[i]];
  }
  for (std::uint32_t k = 0; k < given->size(); ++k)
    if ((*given)[k].dtype != node.types[k].dtype) computed_[{node.id, k}] = (*given)[k].dtype;
  if (types != declared(node)) wanted_.emplace(node.id, types);
  return true;
}

void PrecisionPlan::keep_declared(ValueRef ref) {
  const DType dtype = graph_.type(ref).dtype;
  if (computed(ref) != dtype) casts_[ref].try_emplace(dtype, 0);
}

DType PrecisionPlan::computed(ValueRef ref) const {
  const auto found = computed_.find(ref);
  return found == computed_.end() ? graph_.type(ref).dtype : found->second;
}

DType PrecisionPlan::wanted(const Node& node, std::size_t i) const {
  const auto found = wanted_.find(node.id);
  return found == wanted_.end() ? graph_.type(node.operands[i]).dtype : found->second[i];
}

const std::map<DType, int>& PrecisionPlan::casts_of(ValueRef ref) const {
  static const std::map<DType, int> none;
  const auto found = casts_.find(ref);
  return found == casts_.end() ? none : found->second;
}

}  // namespace weft
