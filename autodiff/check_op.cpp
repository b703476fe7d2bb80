#include <weft/autodiff/check_gradients.h>
#include <weft/autodiff/check_op.h>
#include <weft/autodiff/gradient.h>
#include <weft/autodiff/sample_run.h>
#include <weft/graph/at_batch.h>
#include <weft/ops/arithmetic.h>
#include <weft/runtime/copy.h>
#include <weft/runtime/parallel.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>

namespace weft {
namespace {

double tolerance(DType dtype) {
  switch (dtype) {
    case DType::f64: return 1e-12;
    case DType::f32: return 2e-6;
    case DType::bf16: return 1.0 / 128;  // one rounding to 8 bits, and a half for what feeds it
    case DType::f16: return 1.0 / 1024;
    default: return 0;
  }
}

// Largest |got - want| over max(1, largest finite |want|); infinite where one is NaN or infinite and the other not.
double relative_error(const Tensor& got, const Tensor& want) {
  double scale = 1, worst = 0;
  for (std::int64_t i = 0; i < want.size(); ++i)
    if (std::isfinite(want.at(i))) scale = std::max(scale, std::abs(want.at(i)));
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

class OpChecker {
 public:
  explicit OpChecker(const OpDef& op) : op_(op) { check_.op = op.name; }

  OpCheck run() {
    const int threads_before = threads();
    for (std::size_t i = 0; i < op_.samples.size(); ++i) {
      sample_ = static_cast<int>(i);
      try {
        check_sample(op_.samples[i]);
      } catch (const UserError& error) {
        check_.lines.push_back({"sample", sample_, false, error.what()});
      }
    }
    sample_ = -1;
    check_bad_inputs();
    set_threads(threads_before);
    return std::move(check_);
  }

 private:
  // Runs one check; what it throws is its failure.
  void check(const std::string& name, const std::function<void()>& body) {
    OpCheck::Line line{name, sample_, true, ""};
    try {
      body();
    } catch (const std::exception& error) {
      line.passed = false;
      line.message = error.what();
    }
    check_.lines.push_back(line);
  }

  bool basic() const { return !op_.plain; }

  void check_sample(const Sample& sample) {
    const SampleRun exact(op_, sample, f64);
    bool supported = false;
    check("shape rule", [&] {
      exact.graph().check();
      WEFT_CHECK(exact.outputs().size() == op_.outputs.size(), "the shape rule gives {} outputs, the definition names {}",
                 exact.outputs().size(), op_.outputs.size());
      WEFT_CHECK(exact.supported(), "no f64 kernel: gradients cannot be checked");
      supported = true;
    });
    if (!supported) return;
    for (DType dtype : {f64, f32, bf16, f16}) check_forward(sample, dtype, exact);
    if (sample.gradient && !exact.smooth_inputs().empty() && !exact.float_outputs().empty()) check_gradient(exact);
    if (exact.has_batch()) check("batch", [&] { check_batch(exact); });
    for (DType dtype : {f32, f64}) {
      const SampleRun run(op_, sample, dtype);
      if (!run.supported()) continue;
      check("threads", [&] { check_threads(run); });
      check("recompute", [&] { check_recompute(sample, dtype); });
    }
  }

  void check_forward(const Sample& sample, DType dtype, const SampleRun& exact) {
    const SampleRun run(op_, sample, dtype);
    if (!run.supported() || (dtype != f64 && run.operands() == exact.operands())) return;
    if (basic() && dtype == f64) return;  // nothing to compare with: gradient and outside oracles decide
    check(fmt::format("forward {}", name_of(dtype)), [&] {
      SampleRun oracle(op_, sample, f64, !basic());
      oracle.graph().check();
      oracle.take_values(run);
      const std::vector<Tensor> got = run.run(), want = oracle.run();
      for (std::size_t k = 0; k < got.size(); ++k) {
        WEFT_CHECK(got[k].extents() == want[k].extents(), "output '{}' is {}, expected {}", op_.outputs[k],
                   got[k].type_str(), want[k].type_str());
        const double error = relative_error(got[k], want[k]);
        if (dtype == f32) check_.worst_f32 = std::max(check_.worst_f32, error);
        if (dtype == f64) check_.worst_f64 = std::max(check_.worst_f64, error);
        const double most = is_float(got[k].dtype()) ? tolerance(dtype) : 0;
        WEFT_CHECK(error <= most, "output '{}' is off by {:.3g}, at most {:.3g} is allowed", op_.outputs[k], error, most);
      }
    });
  }

  void check_gradient(const SampleRun& exact) {
    check("gradient", [&] {
      const GradientCheck first = check_gradients(exact.float_outputs(), exact.smooth_inputs(), exact.feeds());
      WEFT_CHECK(first.passed(), "{}", first.str());
    });
    check("second order", [&] {
      Graph graph = exact.graph().clone();
      std::vector<Value> outputs, cotangents, by;
      for (const Value& output : exact.float_outputs()) {
        outputs.push_back(graph.find(output));
        // A cotangent that is not constant: its own gradient is checked too.
        cotangents.push_back(graph.parameter(fmt::format("cotangent{}", outputs.size()), output.type(), init::normal(0, 1)));
      }
      for (const Value& input : exact.smooth_inputs()) by.push_back(graph.find(input));
      std::vector<Value> gradients = vector_jacobian(outputs, cotangents, by);
      std::erase_if(gradients, [](const Value& value) { return !value.valid(); });
      if (gradients.empty()) return;
      by.insert(by.end(), cotangents.begin(), cotangents.end());
      const GradientCheck second =
          check_gradients(gradients, by, exact.feeds(), {.slope = false, .most_elements = 24});
      WEFT_CHECK(second.passed(), "{}", second.str());
    });
  }

  void check_batch(const SampleRun& exact) {
    const std::vector<std::vector<BatchState>> states = batch_states(exact.graph());
    Step step = fetching({exact.outputs().begin(), exact.outputs().end()});
    const Step one = at_batch(step, 1);
    const std::vector<Tensor> whole = exact.run();
    std::vector<std::vector<Tensor>> parts;
    Store store(one.graph);
    Program program(one, store);
    for (std::int64_t i = 0; i < exact.batch(); ++i) {
      const std::vector<Tensor> tensors = exact.example(i);
      std::vector<Feed> feeds;
      for (std::size_t k = 0; k < tensors.size(); ++k) feeds.emplace_back(exact.names()[k], tensors[k]);
      store.set_runs(0);
      const Result result = program.run(feeds);
      parts.emplace_back();
      for (const Value& output : exact.outputs()) parts.back().push_back(result.tensor(output.name()).clone());
    }
    for (std::size_t k = 0; k < whole.size(); ++k)
      compare_parts(whole[k], parts, k, states.at(exact.outputs()[k].ref().node).at(k));
  }

  void compare_parts(const Tensor& whole, const std::vector<std::vector<Tensor>>& parts, std::size_t k,
                     const BatchState& state) const {
    const auto n = static_cast<std::int64_t>(parts.size());
    if (state.kind == BatchState::Kind::free)
      WEFT_CHECK(relative_error(parts[0][k], whole) <= 1e-10, "output '{}' is said not to depend on the batch and does",
                 op_.outputs[k]);
    if (state.kind == BatchState::Kind::summed) {
      Tensor total(f64, whole.extents());
      for (const auto& part : parts)
        for (std::int64_t i = 0; i < total.size(); ++i) total.data<double>()[i] += part[k].at(i);
      const double error = relative_error(total, whole);
      WEFT_CHECK(error <= 1e-10, "output '{}' is said to be a sum over the batch; the parts differ by {:.3g}", op_.outputs[k], error);
    }
    if (state.kind != BatchState::Kind::split) return;
    // whole = [before][outer][n][inner][after]; example i of it is parts[i].
    std::int64_t before = 1, after = 1;
    for (int a = 0; a < state.axis; ++a) before *= whole.extent(a);
    for (int a = state.axis + 1; a < whole.rank(); ++a) after *= whole.extent(a);
    WEFT_CHECK(whole.extent(state.axis) == state.outer * n * state.inner, "output '{}' has no batch at axis {}", op_.outputs[k], state.axis);
    const std::int64_t high = before * state.outer, low = state.inner * after;
    double worst = 0;
    // A random op draws by its row in the full batch: only the first example has the same rows.
    for (std::int64_t i = 0; i < (op_.traits.random ? 1 : n); ++i)
      for (std::int64_t a = 0; a < high; ++a)
        for (std::int64_t b = 0; b < low; ++b) {
          const double x = whole.at((a * n + i) * low + b), y = parts[static_cast<std::size_t>(i)][k].at(a * low + b);
          if (x != y && !(std::isnan(x) && std::isnan(y))) worst = std::max(worst, std::abs(x - y) / std::max(1.0, std::abs(x)));
        }
    WEFT_CHECK(worst <= 1e-10, "output '{}' of one example alone differs by {:.3g} from the whole batch's", op_.outputs[k], worst);
  }

  void check_threads(const SampleRun& run) {
    const std::vector<Tensor> one = run.run(1);
    for (int count : {2, 3, 4}) {
      const std::vector<Tensor> several = run.run(count);
      for (std::size_t k = 0; k < one.size(); ++k)
        WEFT_CHECK(same_bits(one[k], several[k]), "output '{}' has other bits with {} threads", op_.outputs[k], count);
    }
  }

  // Twice by one program; then over operands that die at the op, so that the plan may run it in place.
  void check_recompute(const Sample& sample, DType dtype) {
    const SampleRun run(op_, sample, dtype);
    const std::vector<Tensor> first = run.run();
    Graph graph = run.graph().clone();
    Values copies;
    for (const Value& operand : run.operands())
      copies.push_back(operand.absent() ? Value{} : graph.apply(copy_op(), {graph.find(operand)}).front());
    const Values outputs = graph.apply(op_, copies, sample.attributes);
    Step step = fetching({outputs.begin(), outputs.end()});
    Store store(graph);
    Program program(step, store);
    for (int again = 0; again < 2; ++again) {
      store.set_runs(0);
      const Result result = program.run(run.feeds());
      for (std::size_t k = 0; k < first.size(); ++k)
        WEFT_CHECK(same_bits(first[k], result.tensor(outputs[k].name())), "output '{}' has other bits when it runs {}", op_.outputs[k],
                   again == 0 ? "in place" : "again");
    }
  }

  void check_bad_inputs() {
    check("number of operands", [&] {
      if (op_.least_inputs == 0) return;
      Graph graph;
      graph.apply(op_, {}, op_.samples.empty() ? Attributes{} : op_.samples.front().attributes);
      WEFT_CHECK(graph.problems().size() == 1 && graph.problems()[0].message.find("operands, got 0") != std::string::npos,
                 "no operands at all is not refused");
    });
    for (const BadSample& bad : op_.bad_samples)
      check("bad sample: " + bad.message, [&] {
        Graph graph;
        Values operands;
        for (std::size_t i = 0; i < bad.inputs.size(); ++i)
          operands.push_back(graph.input(fmt::format("x{}", i), bad.inputs[i].dtype, bad.inputs[i].shape));
        graph.apply(op_, operands, bad.attributes);
        WEFT_CHECK(!graph.problems().empty(), "it was accepted");
        const std::string text = graph.problems().front().str();
        WEFT_CHECK(text.find(bad.message) != std::string::npos && text.find("[" + op_.name + "]") != std::string::npos,
                   "the message is: {}", text);
      });
  }

  const OpDef& op_;
  OpCheck check_;
  int sample_ = -1;
};

}  // namespace

bool OpCheck::passed() const {
  return std::ranges::all_of(lines, [](const Line& line) { return line.passed; });
}

std::string OpCheck::str() const {
  std::string text;
  for (const Line& line : lines)
    if (!line.passed)
      text += fmt::format("{}, sample {}, {}: {}\n", op, line.sample, line.check, line.message);
  return text;
}

OpCheck check_op(const OpDef& op) { return OpChecker(op).run(); }

}  // namespace weft
