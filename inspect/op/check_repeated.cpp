// One value given as two operands, against two operands that hold the same numbers: outputs, first and second
// derivatives.
#include <weft/inspect/op/op_checker.h>

#include <weft/autodiff/gradient.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/runtime/random.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <deque>
#include <optional>

namespace weft {
namespace {

constexpr std::int64_t most_elements = 512;
constexpr double tolerance = 1e-9;  // of f64: sums in another order

// What one graph gave; derivatives are empty where there are none.
struct Outcome {
  std::vector<Tensor> outputs;
  Tensor first, second;
};

// Operand `to` holds the numbers of `from`; as one value or as two.
class RepeatedRun {
 public:
  RepeatedRun(const OpDef& op, const SampleRun& run, int from, int to, bool once)
      : graph_(run.graph().clone()), once_(once) {
    Values operands;
    for (const Value& operand : run.operands()) operands.push_back(operand.absent() ? Value{} : graph_.find(operand));
    const auto a = static_cast<std::size_t>(from), b = static_cast<std::size_t>(to);
    by_ = {operands[a], operands[b]};
    if (once_) {
      operands[b] = operands[a];
      by_.pop_back();
    }
    outputs_ = graph_.apply(op, operands, graph_.node(run.outputs().front().ref().node).attributes);
    for (std::size_t i = 0; i < run.names().size(); ++i) {
      const bool other = static_cast<int>(i) == run.fed_of(to);
      feed(run.names()[i], run.tensor(other ? static_cast<std::size_t>(run.fed_of(from)) : i));
    }
  }

  Outcome run(bool differentiated) {
    graph_.check();
    Outcome outcome;
    const Value first = differentiated ? derivative(outputs_, "cotangent") : Value{};
    const Value second = first.valid() ? derivative({first}, "direction") : Value{};
    Step step = fetching({outputs_.begin(), outputs_.end()});
    if (first.valid()) step.set_fetch("first", first);
    if (second.valid()) step.set_fetch("second", second);
    Store store(step);
    Program program(step, store);
    const Result result = program.run(feeds_);
    for (const Value& output : outputs_) outcome.outputs.push_back(result.tensor(output.name()).clone());
    if (first.valid()) outcome.first = result.tensor("first").clone();
    if (second.valid()) outcome.second = result.tensor("second").clone();
    return outcome;
  }

 private:
  void feed(std::string name, Tensor tensor) {
    names_.push_back(std::move(name));
    tensors_.push_back(std::move(tensor));
    feeds_.emplace_back(names_.back(), tensors_.back());
  }

  // d <values, random cotangents> by both operands together; invalid where nothing flows.
  Value derivative(const std::vector<Value>& values, const std::string& name) {
    std::vector<Value> from, cotangents;
    for (const Value& value : values) {
      if (value.dtype() != f64) continue;
      Tensor drawn(f64, value.shape().extents());
      normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(9, static_cast<std::uint32_t>(names_.size())), 0);
      from.push_back(value);
      const std::string full = fmt::format("{}{}", name, from.size());
      cotangents.push_back(graph_.input(full, f64, value.shape()));
      feed(full, drawn);
    }
    if (from.empty()) return {};
    Value sum;
    for (const Value& part : vector_jacobian(from, cotangents, by_))
      if (part.valid()) sum = sum.valid() ? sum + part : part;
    return sum;
  }

  Graph graph_;
  bool once_;
  std::vector<Value> by_;
  Values outputs_;
  std::deque<std::string> names_;  // feeds point at these two
  std::deque<Tensor> tensors_;
  std::vector<Feed> feeds_;
};

void compare(const Tensor& once, const Tensor& twice, int from, int to, const std::string& what) {
  WEFT_CHECK(once.empty() == twice.empty(), "{} of one value as operands {} and {} is {}, of two {}", what, from, to,
             once.empty() ? "absent" : "there", twice.empty() ? "absent" : "there");
  if (once.empty()) return;
  const double error = relative_error(once, twice);
  WEFT_CHECK(error <= tolerance, "{} of one value as operands {} and {} is off by {:.3g} from that of two", what, from,
             to, error);
}

bool alike(const SampleRun& run, int from, int to) {
  const Value &a = run.operands()[static_cast<std::size_t>(from)], &b = run.operands()[static_cast<std::size_t>(to)];
  return a.valid() && b.valid() && a.type() == b.type() && is_float(a.dtype());
}

}  // namespace

void OpChecker::check_repeated(const SampleRun& run) {
  std::int64_t elements = 0;
  for (const Value& operand : run.operands())
    if (operand.valid()) elements = std::max(elements, operand.shape().count());
  const int operands = static_cast<int>(run.operands().size());
  if (elements > most_elements) return;
  const bool differentiable = !op_.traits.cuts_gradient && (op_.backward || op_.plain);
  for (int from = 0; from < operands; ++from)
    for (int to = from + 1; to < operands; ++to) {
      if (!alike(run, from, to)) continue;
      check("one value twice", [&] {
        bool differentiated = differentiable;
        std::optional<Outcome> twice;
        try {
          twice = RepeatedRun(op_, run, from, to, false).run(differentiated);
        } catch (const UserError&) {  // it has no second derivative, or refuses these numbers
          differentiated = false;
          try {
            twice = RepeatedRun(op_, run, from, to, false).run(false);
          } catch (const UserError&) {
            return;
          }
        }
        const Outcome once = RepeatedRun(op_, run, from, to, true).run(differentiated);
        for (std::size_t k = 0; k < once.outputs.size(); ++k)
          WEFT_CHECK(same_bits(once.outputs[k], twice->outputs[k]),
                     "output '{}' of one value as operands {} and {} has other bits than of two",
                     op_.outputs[std::min(k, op_.outputs.size() - 1)], from, to);
        compare(once.first, twice->first, from, to, "the gradient");
        compare(once.second, twice->second, from, to, "the second derivative");
      });
    }
}

}  // namespace weft
