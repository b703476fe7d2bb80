#include <weft/inspect/audit/edge_flow.h>

#include <weft/autodiff/gradient.h>
#include <weft/autodiff/plain_outputs.h>
#include <weft/graph/sources.h>
#include <weft/runtime/program.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <set>

namespace weft {
namespace {

using Resize = std::function<std::int64_t(std::int64_t)>;

// What is made from nothing: it stands in the trial as it is.
bool is_number(const Node& node) {
  const bool operands = std::ranges::any_of(node.operands, [](ValueRef ref) { return ref.node != no_node; });
  return !operands && (node.op == &constant_op() || (!node.op->traits.source && !node.op->traits.random));
}

bool all_equal(const Constant& constant) {
  const std::size_t size = size_of(constant.type.dtype);
  for (std::size_t at = size; at < constant.bytes.size(); at += size)
    if (!std::equal(constant.bytes.begin(), constant.bytes.begin() + static_cast<std::ptrdiff_t>(size),
                    constant.bytes.begin() + static_cast<std::ptrdiff_t>(at)))
      return false;
  return true;
}

Shape resized(const Shape& shape, const Resize& resize) {
  std::vector<Dim> dims;
  for (const Dim& dim : shape) {
    const std::int64_t extent = resize(dim.value());
    dims.push_back(extent == dim.value() ? dim : Dim(extent));
  }
  return Shape(std::move(dims));
}

Attributes resized(const Attributes& attributes, const Resize& resize) {
  Attributes result = attributes;
  for (const Attributes::Entry& entry : attributes)
    if (const Shape* shape = std::get_if<Shape>(&entry.value)) result.set(entry.name, resized(*shape, resize));
  return result;
}

// The node cannot be probed over small extents.
struct NoProbe {};

// What operands are drawn as: near 0, of any magnitude, or between the node's own numbers (the bounds of a clamp),
// which the others may never meet.
enum class Draw : std::uint8_t { normal, wide, between };

// The node's own rules, or those of its plain definition.
enum class Rules : std::uint8_t { own, plain };

// One node alone, over states of its own, and what its backward rule makes of cotangents that are states too.
class RuleProbe {
 public:
  RuleProbe(const Graph& from, const Node& node, const std::vector<bool>& outputs, const Resize& resize,
            Rules rules = Rules::own)
      : from_(from), resize_(resize) {
    std::map<ValueRef, Value> made;  // an operand twice is one value
    for (const ValueRef& ref : node.operands) {
      if (ref.node == no_node) {
        operands_.push_back(Value{});
        continue;
      }
      Value& value = made[ref];
      if (!value.valid()) value = operand(ref);
      operands_.push_back(value);
    }
    for (const Attributes::Entry& entry : node.attributes) own(entry);
    const Attributes attributes = resized(node.attributes, resize);
    std::vector<TensorType> types = node.types;
    for (TensorType& type : types) type.shape = resized(type.shape, resize);
    const Values results = rules == Rules::own ? graph_.apply(*node.op, operands_, attributes)
                                               : plain_outputs(*node.op, {operands_, attributes, types});
    graph_.check();
    std::vector<Value> from_values, cotangents;
    for (std::size_t k = 0; k < node.types.size(); ++k) {
      if (!outputs[k] && !results[k].valid()) continue;
      const TensorType& type = results[k].type();
      if (type.shape != types[k].shape) throw NoProbe{};
      if (!outputs[k] || !is_float(type.dtype)) continue;
      from_values.push_back(results[k]);
      cotangents.push_back(graph_.state(fmt::format("cotangent/{}", k), type, init::zeros()));
    }
    std::vector<Value> wanted;
    for (const Value& value : operands_)
      if (value.valid() && is_float(value.dtype()) && std::ranges::find(wanted, value) == wanted.end())
        wanted.push_back(value);
    const std::vector<Value> found = vector_jacobian(from_values, cotangents, wanted);
    for (std::size_t i = 0; i < wanted.size(); ++i) gradients_[wanted[i].ref()] = found[i];
  }

  /// Absent where nothing flows.
  Value gradient(std::size_t operand) const {
    const auto at = gradients_.find(operands_[operand].ref());
    return at == gradients_.end() ? Value{} : at->second;
  }

  /// The largest magnitude of each: of all draws, 0 where it is 0 whatever the operands; and of operands near 0.
  struct Largest {
    double of_all = 0, of_normal = 0;
  };
  std::vector<Largest> largest(const std::vector<Value>& values) const {
    std::vector<Largest> largest(values.size());
    std::int64_t fewest = enough;
    for (const Value& value : values) fewest = std::min(fewest, std::max<std::int64_t>(1, value.type().count()));
    const int draws = static_cast<int>(enough / fewest);  // a single number may be on the flat side of a hinge
    const Step step = fetching(values);
    Store store(step);
    Program program(step, store);
    for (const Draw draw : {Draw::normal, Draw::wide, Draw::between}) {
      if (draw == Draw::between && own_.empty()) continue;
      std::mt19937 random(static_cast<unsigned>(draw) + 1);
      for (int time = 0; time < draws; ++time) {
        for (const Value& operand : step.graph.states())
          store.set(operand.name(), numbers(operand.type(), random, draw));
        const Result result = program.run();
        for (std::size_t i = 0; i < values.size(); ++i) {
          const double size = largest_of(result.tensor(values[i].name()));
          largest[i].of_all = std::max(largest[i].of_all, size);
          if (draw == Draw::normal) largest[i].of_normal = std::max(largest[i].of_normal, size);
        }
      }
    }
    return largest;
  }

 private:
  static constexpr std::int64_t enough = 12;  // numbers of each draw

  static double largest_of(const Tensor& tensor) {
    return is_finite(tensor) ? max_abs(tensor) : std::numeric_limits<double>::infinity();
  }

  void own(const Attributes::Entry& entry) {
    if (const double* number = std::get_if<double>(&entry.value); number != nullptr && std::isfinite(*number))
      own_.insert(*number);
  }

  Value operand(ValueRef ref) {
    const Node& node = from_.node(ref.node);
    const TensorType& type = from_.type(ref);
    const Shape shape = resized(type.shape, resize_);
    if (is_number(node)) {
      if (node.op != &constant_op()) {
        for (const Attributes::Entry& entry : node.attributes) own(entry);  // the bound of a maximum
        return graph_.apply(*node.op, {}, resized(node.attributes, resize_)).at(ref.output);
      }
      const Constant& given = *node.attributes.get<std::shared_ptr<const Constant>>("value");
      if (shape == type.shape) return graph_.constant(given);
      if (given.type.count() == 0 || !all_equal(given)) throw NoProbe{};  // it has no smaller one
      Constant constant{{type.dtype, shape}, {}};
      const auto size = static_cast<std::ptrdiff_t>(size_of(type.dtype));
      for (std::int64_t i = 0; i < shape.count(); ++i)
        constant.bytes.insert(constant.bytes.end(), given.bytes.begin(), given.bytes.begin() + size);
      return graph_.constant(std::move(constant));
    }
    return graph_.state(fmt::format("operand/{}", operands_.size()), {type.dtype, shape}, init::zeros());
  }

  Tensor numbers(const TensorType& type, std::mt19937& random, Draw draw) const {
    Tensor tensor(f64, type.shape.extents());
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> power(-3, 4), share(0, 1);
    for (double* at = tensor.data<double>(); at != tensor.data<double>() + tensor.size(); ++at) {
      if (type.dtype == boolean) *at = share(random) < 0.75 ? 1 : 0;
      else if (draw == Draw::wide) *at = (share(random) < 0.5 ? -1 : 1) * std::pow(10.0, power(random));
      else if (draw == Draw::between) *at = between(share(random), share(random));
      else *at = normal(random);
    }
    return tensor.cast(type.dtype);
  }

  // Between two neighbours of the node's numbers; of one number, about it.
  double between(double which, double share) const {
    if (own_.size() == 1) return *own_.begin() * (0.5 + share);
    const auto low = std::next(own_.begin(), static_cast<std::ptrdiff_t>(which * static_cast<double>(own_.size() - 1)));
    return *low + share * (*std::next(low) - *low);
  }

  const Graph& from_;
  Resize resize_;
  Graph graph_;
  std::set<double> own_;
  Values operands_;
  std::map<ValueRef, Value> gradients_;
};

// Extents above 4 become 5, 6, 7, ... in their order: equal ones stay equal.
Resize smaller(const Graph& graph, const Node& node) {
  std::map<std::int64_t, std::int64_t> sizes;
  auto see = [&](const Shape& shape) {
    for (const Dim& dim : shape)
      if (dim.value() > 4) sizes[dim.value()] = 0;
  };
  for (const ValueRef& ref : node.operands)
    if (ref.node != no_node) see(graph.type(ref).shape);
  for (const TensorType& type : node.types) see(type.shape);
  std::int64_t next = 5;
  for (auto& [extent, size] : sizes) size = next++;
  return [sizes](std::int64_t extent) {
    const auto at = sizes.find(extent);
    return at == sizes.end() ? extent : at->second;
  };
}

// What a rule may leave of a 0, of numbers near 1.
double rounding(DType dtype) {
  switch (size_of(dtype)) {
    case 8:
      return 16 * std::numeric_limits<double>::epsilon();
    case 4:
      return 16 * static_cast<double>(std::numeric_limits<float>::epsilon());
    default:
      return 16 * std::ldexp(1.0, dtype == bf16 ? -7 : -10);
  }
}

// A fused rule rounds where the plain definition gives exactly 0: attention to a single key.
bool zero_by_plain(const Graph& graph, const Node& node, const std::vector<bool>& outputs, const Resize& resize,
                   std::size_t operand) {
  if (!node.op->plain || !node.op->backward) return false;
  const RuleProbe plain(graph, node, outputs, resize, Rules::plain);
  const Value gradient = plain.gradient(operand);
  return gradient.valid() && plain.largest({gradient}).front().of_all == 0;
}

bool may_try(const Graph& graph, const Node& node) {
  const Traits& traits = node.op->traits;
  if (traits.guard || traits.gathers || traits.per_micro_batch || !traits.recomputable) return false;
  std::int64_t most = 0;
  for (const ValueRef& ref : node.operands) {
    if (ref.node == no_node) continue;
    const TensorType& type = graph.type(ref);
    if (!is_float(type.dtype) && type.dtype != boolean && !is_number(graph.node(ref.node))) return false;
    most = std::max(most, type.count());
  }
  return most > 0;
}

}  // namespace

std::string EdgeFlows::key(const Node& node, const std::vector<bool>& outputs) const {
  std::string key = fmt::format("{}", static_cast<const void*>(node.op));
  for (const Attributes::Entry& entry : node.attributes)
    if (!(node.op->traits.random && entry.name == "stream"))
      key += fmt::format(";{}={}", entry.name, weft::str(entry.value));
  for (const bool output : outputs) key += output ? 'y' : 'n';
  for (std::size_t i = 0; i < node.operands.size(); ++i) {
    const ValueRef ref = node.operands[i];
    if (ref.node == no_node) {
      key += "|-";
      continue;
    }
    const auto same = std::find(node.operands.begin(), node.operands.end(), ref) - node.operands.begin();
    key += fmt::format("|{}@{}", graph_.type(ref).str(), same);
    const Node& from = graph_.node(ref.node);
    if (from.op == &constant_op()) key += fmt::format("#{}", from.id);
    else if (is_number(from))
      for (const Attributes::Entry& entry : from.attributes)
        key += fmt::format("#{}={}", entry.name, weft::str(entry.value));
  }
  return key;
}

const std::vector<EdgeFlow>& EdgeFlows::of(const Node& node, const std::vector<bool>& outputs) {
  auto [at, is_new] = known_.try_emplace(key(node, outputs));
  std::vector<EdgeFlow>& flows = at->second;
  if (!is_new) return flows;
  flows.assign(node.operands.size(), EdgeFlow::flows);
  for (std::size_t i = 0; i < flows.size(); ++i)
    if (node.operands[i].node == no_node || !is_float(graph_.type(node.operands[i]).dtype)) flows[i] = EdgeFlow::absent;
  auto every = [&](EdgeFlow flow) {
    for (EdgeFlow& each : flows)
      if (each == EdgeFlow::flows) each = flow;
  };

  bool smooth = false, whole = false;
  for (std::size_t k = 0; k < node.types.size(); ++k) {
    smooth |= outputs[k] && is_float(node.types[k].dtype);
    whole |= outputs[k] && !is_float(node.types[k].dtype) && node.types[k].dtype != boolean;
  }
  if (node.op->traits.cuts_gradient) every(EdgeFlow::on_purpose);
  else if (!smooth) every(whole ? EdgeFlow::integer : EdgeFlow::comparison);
  else if (!node.op->backward && !node.op->plain) every(EdgeFlow::no_backward);
  else {
    try {
      const RuleProbe as_built(graph_, node, outputs, [](std::int64_t extent) { return extent; });
      for (std::size_t i = 0; i < flows.size(); ++i)
        if (flows[i] == EdgeFlow::flows && !as_built.gradient(i).valid()) flows[i] = EdgeFlow::no_derivative;
      if (!may_try(graph_, node)) return flows;
      const Resize resize = smaller(graph_, node);
      const RuleProbe small(graph_, node, outputs, resize);
      std::vector<Value> gradients;
      std::vector<std::size_t> operands;
      for (std::size_t i = 0; i < flows.size(); ++i)
        if (flows[i] == EdgeFlow::flows && small.gradient(i).valid()) {
          gradients.push_back(small.gradient(i));
          operands.push_back(i);
        }
      if (gradients.empty()) return flows;
      const std::vector<RuleProbe::Largest> largest = small.largest(gradients);
      for (std::size_t i = 0; i < operands.size(); ++i)
        if (largest[i].of_all == 0 || (largest[i].of_normal <= rounding(gradients[i].dtype()) &&
                                       zero_by_plain(graph_, node, outputs, resize, operands[i])))
          flows[operands[i]] = EdgeFlow::zero;
    } catch (const NoProbe&) {  // what the reverse walk found stands
    } catch (const UserError&) {
    } catch (const InternalError&) {  // rules may count on extents that checks elsewhere ask for
    }
  }
  return flows;
}

}  // namespace weft
