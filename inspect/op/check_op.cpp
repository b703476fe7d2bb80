#include <weft/graph/registry.h>
#include <weft/inspect/op/check_op.h>
#include <weft/inspect/op/op_checker.h>

#include <algorithm>
#include <exception>

namespace weft {

OpCheck OpChecker::run() {
  for (std::size_t i = 0; i < op_.samples.size(); ++i) {
    sample_ = static_cast<int>(i);
    try {
      check_sample(op_.samples[i]);
    } catch (const std::exception& error) {
      check_.lines.push_back({"sample", sample_, false, error.what()});
    }
  }
  sample_ = -1;
  if (!op_.traits.source && full_) check("batch", [&] { check_batched(); });
  check_bad_inputs();
  return std::move(check_);
}

void OpChecker::check(const std::string& name, const std::function<void()>& body) {
  OpCheck::Line line{name, sample_, true, ""};
  try {
    body();
  } catch (const std::exception& error) {
    line.passed = false;
    line.message = error.what();
  }
  check_.lines.push_back(line);
}

void OpChecker::check_sample(const Sample& sample) {
  const SampleRun exact = built(sample, f64);
  bool supported = false;
  check("shape rule", [&] {
    exact.graph().check();
    WEFT_CHECK(exact.supported(), "no f64 kernel: gradients cannot be checked");
    supported = true;
  });
  if (!supported) return;
  // First: a kernel that writes where it may not would take the rest of this with it.
  for (DType dtype : {f32, f64}) {
    const SampleRun run = built(sample, dtype);
    if (!run.supported()) continue;
    check("memory", [&] { check_memory(run); });
    if (!check_.lines.back().passed) return;
  }
  const bool finite = std::ranges::none_of(
      sample.inputs, [](const SampleInput& input) { return input.fill == SampleInput::Fill::extremes; });
  if (!full_) {
    check_sample_memory(sample, exact, finite);
    return;
  }
  for (DType dtype : {f64, f32, bf16, f16}) check_forward(sample, dtype, exact);
  if (sample.gradient && !exact.smooth_inputs().empty() && !exact.float_outputs().empty()) check_gradient(exact);
  if (finite) check_repeated(exact);
  if (finite) check_offsets(sample);
  if (finite && sample_ < 2) check_counts(sample);
  if (op_.range) check("range", [&] { check_range(sample); });
  if (exact.has_batch()) check("batch", [&] { check_batch(exact); });
  if (exact.has_batch() && op_.traits.random) check("batch", [&] { check_micro_batches(exact); });
  if (finite) check_declared(sample, exact);
  if (!may_refuse(op_)) check("refusals", [&] { check_refusals(exact); });
  if (op_.evaluation) check("evaluation", [&] { check_evaluation(exact); });
  for (DType dtype : {f32, f64}) {
    const SampleRun run = built(sample, dtype);
    if (!run.supported()) continue;
    check("rows", [&] { check_rows(run); });
    if (finite) check_backward(sample, dtype);
    check("threads", [&] { check_threads(run); });
    check("recompute", [&] { check_recompute(sample, dtype); });
  }
  if (finite) {
    check_nan(sample);
    check_variants(sample);
  }
}

void OpChecker::check_sample_memory(const Sample& sample, const SampleRun& exact, bool finite) {
  check_forward(sample, f32, exact);
  if (finite) check_backward(sample, f32);
  for (DType dtype : {bf16, f16}) {
    const SampleRun run = built(sample, dtype);
    if (!run.supported() || run.operands() == exact.operands()) continue;
    check("memory", [&] { check_memory(run); });
    check_forward(sample, dtype, exact);
    check_backward_runs(run);
    break;  // one of the two: they share their kernels
  }
  if (finite) check_variants(sample);
}

void OpChecker::check_bad_inputs() {
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

bool OpCheck::passed() const {
  return std::ranges::all_of(lines, [](const Line& line) { return line.passed; });
}

std::string OpCheck::str() const {
  std::string text;
  for (const Line& line : lines)
    if (!line.passed) text += fmt::format("{}, sample {}, {}: {}\n", op, line.sample, line.check, line.message);
  return text;
}

OpCheck check_op(const OpDef& op, std::source_location where) { return check_op(op, OpCheckDepth::full, where); }

OpCheck check_op(const OpDef& op, OpCheckDepth depth, std::source_location where) {
  return OpChecker(op, depth, where).run();
}

}  // namespace weft
