#include <weft/autodiff/gradient.h>
#include <weft/inspect/op/check_gradients.h>
#include <weft/inspect/op/op_checker.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weft {
namespace {

// Arithmetic in f32 and one rounding to the type. Products may round what stands between them too: two.
double tolerance(DType dtype, Precision precision) {
  const int roundings = precision == Precision::low ? 2 : 1;
  switch (dtype) {
    case DType::f64:
      return 1e-12;
    case DType::f32:
      return 2e-6;
    case DType::bf16:
      return 0x1p-8 * roundings + 2e-6;
    case DType::f16:
      return 0x1p-11 * roundings + 2e-6;
    default:
      return 0;
  }
}

void compare(const Tensor& got, const Tensor& want, double most, const std::string& what) {
  WEFT_CHECK(got.extents() == want.extents(), "{} is {}, expected {}", what, got.type_str(), want.type_str());
  const double error = relative_error(got, want);
  WEFT_CHECK(error <= most, "{} is off by {:.3g}, at most {:.3g} is allowed", what, error, most);
}

// Two parts of one number (OpDef::parts) as their sum, twice.
std::vector<Tensor> joined(const OpDef& op, std::vector<Tensor> outputs) {
  for (const auto& [first, second] : op.parts) {
    const Tensor &a = outputs[static_cast<std::size_t>(first)], &b = outputs[static_cast<std::size_t>(second)];
    Tensor sum = a.cast(f64);
    for (std::int64_t i = 0; i < sum.size(); ++i) sum.data<double>()[i] += b.at(i);
    const Tensor rounded = sum.cast(a.dtype());
    outputs[static_cast<std::size_t>(first)] = outputs[static_cast<std::size_t>(second)] = rounded;
  }
  return outputs;
}

}  // namespace

double relative_error(const Tensor& got, const Tensor& want) {
  const double scale = std::max(1e-3, max_abs(want));
  double worst = 0;
  // Beyond the range of the narrow type infinity is the right answer.
  const double largest = got.dtype() == f16 ? 65504.0 : got.dtype() == f64 ? 1e308 : 3.3e38;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double a = got.at(i), b = want.at(i);
    if ((std::isnan(a) && std::isnan(b)) || a == b) continue;
    if (std::isinf(a) && std::abs(b) > largest && (a > 0) == (b > 0)) continue;
    const double error = std::abs(a - b) / scale;
    worst = std::max(worst, std::isfinite(error) ? error : std::numeric_limits<double>::infinity());
  }
  return worst;
}

void OpChecker::check_forward(const Sample& sample, DType dtype, const SampleRun& exact) {
  const SampleRun run = built(sample, dtype);
  if (!run.supported() || (dtype != f64 && run.operands() == exact.operands())) return;
  if (basic() && !op_.reference && dtype == f64) return;  // random numbers: compared with Random123 elsewhere
  check(fmt::format("forward {}", name_of(dtype)), [&] {
    SampleRun oracle = built(sample, f64, !basic());
    oracle.graph().check();
    oracle.take_values(run);
    const std::vector<Tensor> got = joined(op_, run.run()),
                              want = joined(op_, op_.reference ? run.by_reference() : oracle.run());
    for (std::size_t k = 0; k < got.size(); ++k) {
      const double error = got[k].extents() == want[k].extents() ? relative_error(got[k], want[k]) : 0;
      if (dtype == f32) check_.worst_f32 = std::max(check_.worst_f32, error);
      if (dtype == f64) check_.worst_f64 = std::max(check_.worst_f64, error);
      const DType rounded = run.operands().empty() ? got[k].dtype() : dtype;
      compare(got[k], want[k], is_float(got[k].dtype()) ? tolerance(rounded, op_.traits.precision) : 0,
              fmt::format("output '{}'{}", op_.outputs[k],
                          op_.traits.random && basic() && !op_.reference
                              ? " (which draws: in each type the same numbers, as doubles that are then rounded, so "
                                "that a step has its f64 twin)"
                              : ""));
    }
  });
}

// Differences miss a term that is small beside the others; the plain definition's gradient, in f64, does not.
void OpChecker::check_backward(const Sample& sample, DType dtype) {
  const SampleRun run = built(sample, dtype);
  if (!run.supported() || run.differentiable_inputs().empty() || (basic() && dtype == f64)) return;
  if (!sample.gradient && !op_.backward && !op_.plain) return;  // an op that has no gradient on purpose
  check(fmt::format("backward {}", name_of(dtype)), [&] {
    SampleRun oracle = built(sample, f64, !basic());
    oracle.graph().check();
    oracle.take_values(run);
    const std::vector<Tensor> cotangents = run.cotangents();
    const auto got = run.gradients(cotangents), want = oracle.gradients(cotangents);
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (!got[i].empty() && !want[i].empty())
        compare(got[i], want[i], dtype == f64 ? 1e-11 : 1e-5, fmt::format("the gradient of operand {}", i));
      else  // one of them says that nothing flows: then all of the other is 0
        for (const Tensor* tensor : {&got[i], &want[i]})
          for (std::int64_t k = 0; k < tensor->size(); ++k)
            WEFT_CHECK(tensor->at(k) == 0, "the gradient of operand {} is {} by the {} and absent by the other", i,
                       tensor->at(k), tensor == &got[i] ? "op" : "plain definition");
    }
  });
}

// Of the two-byte types only that the gradient can be computed: how far it may round is each formula's own.
void OpChecker::check_backward_runs(const SampleRun& run) {
  if (run.differentiable_inputs().empty() || op_.traits.cuts_gradient || (!op_.backward && !op_.plain)) return;
  check("backward of two bytes", [&] {
    for (const Tensor& gradient : run.gradients(run.cotangents()))
      WEFT_CHECK(gradient.empty() || gradient.dtype() != f64, "a gradient is {}", gradient.type_str());
  });
}

// What is not finite stays visible: an element that matters to an output, made NaN, makes some output NaN.
void OpChecker::check_nan(const Sample& sample) {
  const SampleRun run = built(sample, f32);
  if (!run.supported()) return;
  check("NaN", [&] {
    const std::vector<Tensor> base = run.run();
    for (std::size_t i = 0; i < run.names().size(); ++i) {
      const Tensor& tensor = run.tensor(i);
      if (!is_float(tensor.dtype()) || tensor.size() == 0) continue;
      for (const std::int64_t element : {std::int64_t{0}, tensor.size() / 2, tensor.size() - 1}) {
        const std::vector<Tensor> moved = run.with(i, element, tensor.at(element) + 1.0 / 128).run();
        const std::vector<Tensor> poisoned = run.with(i, element, std::numeric_limits<double>::quiet_NaN()).run();
        bool matters = false, visible = false;
        for (std::size_t k = 0; k < base.size(); ++k) {
          if (!is_float(base[k].dtype())) continue;
          matters = matters || !same_bits(base[k], moved[k]);
          for (std::int64_t at = 0; at < poisoned[k].size() && !visible; ++at)
            visible = !std::isfinite(poisoned[k].at(at));
        }
        WEFT_CHECK(visible || !matters, "a NaN at element {} of operand {} shows in no output", element, i);
      }
    }
  });
}

void OpChecker::check_gradient(const SampleRun& exact) {
  check("gradient", [&] {
    const GradientCheck first = check_gradients(exact.float_outputs(), exact.smooth_inputs(), exact.feeds());
    WEFT_CHECK(first.passed(), "{}", first.str());
  });
  check("second order", [&] {
    const std::vector<Value> float_outputs = exact.float_outputs();
    Graph graph = exact.graph().clone();
    std::vector<Value> outputs, cotangents, by;
    for (const Value& output : float_outputs) {
      outputs.push_back(graph.find(output));
      // A cotangent that is not constant: its own gradient is checked too.
      cotangents.push_back(
          graph.parameter(fmt::format("cotangent{}", outputs.size()), output.type(), init::normal(0, 1)));
    }
    for (const Value& input : exact.smooth_inputs()) by.push_back(graph.find(input));
    std::vector<Value> gradients = vector_jacobian(outputs, cotangents, by);
    std::erase_if(gradients, [](const Value& value) { return !value.valid(); });
    if (gradients.empty()) return;
    by.insert(by.end(), cotangents.begin(), cotangents.end());
    const GradientCheck second = check_gradients(gradients, by, exact.feeds(), {.slope = false, .most_elements = 24});
    WEFT_CHECK(second.passed(), "{}", second.str());
  });
}

}  // namespace weft
