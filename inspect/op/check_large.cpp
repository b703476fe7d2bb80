// Large numbers whose size cancels: where a common offset or factor of an operand changes no derivative (no output) in
// exact arithmetic, it may not cost the digits of f32 either. Whether it changes them is found by running, in f64.
// And more elements than f16 can count.
#include <weft/inspect/op/op_checker.h>

#include <weft/autodiff/gradient.h>
#include <weft/inspect/op/with_extents.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace weft {
namespace {

constexpr std::int64_t most_elements = 512;
constexpr double sizes[] = {1e4, 1e8};
constexpr double unchanged = 1e-6;  // of f64, beside numbers of 1e8
constexpr double tolerance = 2e-5;  // of f32

constexpr std::int64_t many_elements = 70000;
constexpr double most_memory = 1e8;
constexpr double most_work = 2e7;  // operations or bytes of a run
constexpr double of_f16 = 0x1p-7;

struct Numbers {
  std::vector<Tensor> outputs, gradients;
};

// The distance of f32 numbers from `size` on.
double spacing(double size) { return std::ldexp(1.0, std::ilogb(size) - 23); }

// x on a grid that f32 has at `size` as well, so that adding `size` loses nothing.
Tensor on_grid(const Tensor& x, double size) {
  const double step = spacing(size);
  Tensor y = x.cast(f64);
  for (std::int64_t i = 0; i < y.size(); ++i) {
    double& value = y.data<double>()[i];
    value = step * std::round(value / std::min(step, 1.0));
  }
  return y;
}

Tensor moved(const Tensor& x, double offset, double factor) {
  Tensor y = x.cast(f64);
  for (std::int64_t i = 0; i < y.size(); ++i) y.data<double>()[i] = factor * y.data<double>()[i] + offset;
  return y;
}

double worst(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  double error = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (want[i].empty() || got[i].empty() || !is_float(want[i].dtype())) continue;
    error = std::max(error, relative_error(got[i], want[i]));
  }
  return error;
}

// Of all values of the run and of its gradients.
double bytes_of(const SampleRun& run, bool gradients) {
  const Graph graph = run.graph().clone();
  std::vector<Value> outputs, cotangents, by;
  for (const Value& output : run.outputs())
    if (is_float(output.dtype())) {
      outputs.push_back(graph.find(output));
      cotangents.push_back(outputs.back());
    }
  for (const Value& input : run.differentiable_inputs()) by.push_back(graph.find(input));
  if (gradients && !outputs.empty() && !by.empty()) vector_jacobian(outputs, cotangents, by);
  double bytes = 0;
  for (const NodeId id : graph.ids())
    for (const TensorType& type : graph.node(id).types) bytes += static_cast<double>(type.bytes());
  return bytes;
}

double elements_of(const Sample& sample) {
  double most = 0;
  for (const SampleInput& input : sample.inputs) {
    double count = 1;
    for (const std::int64_t extent : input.extents) count *= static_cast<double>(extent);
    most = std::max(most, count);
  }
  return most;
}

bool finite(const Numbers& numbers) {
  const auto all = [](const std::vector<Tensor>& of) {
    return std::ranges::all_of(of, [](const Tensor& x) { return x.empty() || is_finite(x); });
  };
  return all(numbers.outputs) && all(numbers.gradients);
}

}  // namespace

void OpChecker::check_offsets(const Sample& sample) {
  const SampleRun narrow = built(sample, f32);
  if (!sample.gradient || !narrow.supported() || narrow.differentiable_inputs().empty() ||
      (!op_.backward && !op_.plain))
    return;
  SampleRun exact = built(sample, f64, !basic());
  exact.take_values(narrow);
  for (const Value& operand : narrow.operands())
    if (operand.valid() && operand.shape().count() > most_elements) return;
  const std::vector<Tensor> cotangents = narrow.cotangents();
  const auto numbers = [&](const SampleRun& run, std::size_t fed, const Tensor& x) -> std::optional<Numbers> {
    const SampleRun with = run.with({{fed, x.cast(run.tensor(fed).dtype())}});
    try {
      return Numbers{with.run(), with.gradients(cotangents)};
    } catch (const UserError&) {  // it refuses these numbers
      return std::nullopt;
    }
  };
  const auto costs = [&](std::size_t fed) {
    return std::ranges::any_of(op_.offsets_cost,
                               [&](int operand) { return narrow.fed_of(operand) == static_cast<int>(fed); });
  };
  for (std::size_t fed = 0; fed < narrow.names().size(); ++fed) {
    if (narrow.tensor(fed).dtype() != f32 || narrow.tensor(fed).size() == 0) continue;
    for (const bool offset : {true, false})
      for (const double size : sizes) {
        if (offset && costs(fed)) continue;
        const Tensor base = on_grid(narrow.tensor(fed), size),
                     large = offset ? moved(base, size, 1) : moved(base, 0, std::exp2(std::round(std::log2(size))));
        const auto here = numbers(exact, fed, base), there = numbers(exact, fed, large);
        if (!here || !there || !finite(*here) || !finite(*there)) continue;
        const bool same = offset ? worst(there->gradients, here->gradients) <= unchanged
                                 : worst(there->outputs, here->outputs) <= unchanged;
        if (!same) break;
        check("large numbers", [&] {
          const auto got = numbers(narrow, fed, large), small = numbers(narrow, fed, base);
          WEFT_CHECK(got && small, "operand {} is refused {} {:g}", fed, offset ? "beside an offset of" : "times",
                     size);
          const double of_outputs = offset ? 0 : worst(got->outputs, there->outputs),
                       of_gradients = worst(got->gradients, there->gradients);
          // What the small numbers lose already, the large ones may lose too.
          const double most_of_outputs = std::max(tolerance, 4 * worst(small->outputs, here->outputs)),
                       most_of_gradients = std::max(tolerance, 4 * worst(small->gradients, here->gradients));
          WEFT_CHECK(of_outputs <= most_of_outputs && of_gradients <= most_of_gradients,
                     "with operand {} {} {:g} the outputs are off by {:.3g} and the gradients by {:.3g} of f32; in "
                     "exact arithmetic that changes no {}",
                     fed, offset ? "moved by" : "times", size, of_outputs, of_gradients,
                     offset ? "gradient" : "output");
        });
      }
  }
}

void OpChecker::check_counts(const Sample& sample) {
  if (op_.traits.precision == Precision::low) return;  // products of so many overflow f16 between
  std::vector<std::int64_t> extents;
  for (const SampleInput& input : sample.inputs)
    for (const std::int64_t extent : input.extents)
      if (extent > 1 && std::ranges::find(extents, extent) == extents.end()) extents.push_back(extent);
  for (const std::int64_t extent : extents) {
    const Sample many = with_extents(sample, {{extent, many_elements}});
    if (elements_of(many) > most_work / 10) continue;
    const auto nodes = [&](const Sample& of) { return built(of, f64, !basic()).graph().size(); };
    if (nodes(sample) != nodes(with_extents(sample, {{extent, 2 * extent}}))) continue;  // defined element by element
    const SampleRun run = built(many, f16);
    if (!run.supported() || run.operands() == built(many, f64).operands()) continue;
    const Node& node = run.outputs().front().node();
    const Cost cost = cost_of(run.graph().view(node)->view);
    if (cost.flops > most_work || cost.bytes > most_work) continue;
    check(fmt::format("many elements ({} as {})", extent, many_elements), [&] {
      SampleRun exact = built(many, f64, !basic());
      for (const SampleRun* of :
           std::initializer_list<const SampleRun*>{&exact, &run})  // a definition may be quadratic, or a gradient
        if (bytes_of(*of, sample.gradient) > most_memory) return;
      exact.take_values(run);
      const std::vector<Tensor> cotangents = run.cotangents();
      std::optional<Numbers> want;
      try {
        want = Numbers{exact.run(), sample.gradient ? exact.gradients(cotangents) : std::vector<Tensor>{}};
      } catch (const UserError&) {  // it refuses these numbers
        return;
      }
      const double of_outputs = worst(run.run(), want->outputs);
      const double of_gradients = sample.gradient ? worst(run.gradients(cotangents), want->gradients) : 0;
      WEFT_CHECK(
          of_outputs <= of_f16 && of_gradients <= of_f16,
          "of f16 the outputs are off by {:.3g} and the gradients by {:.3g}; hint: f16 counts to 65,504, bf16 to "
          "256: sums, lengths and means are f32",
          of_outputs, of_gradients);
    });
  }
}

}  // namespace weft
