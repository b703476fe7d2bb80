#include <weft/graph/at_batch.h>
#include <weft/inspect/op/op_checker.h>
#include <weft/ops/step/micro.h>
#include <weft/runtime/copy.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace weft {

void OpChecker::check_batch(const SampleRun& exact) {
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
    compare_parts(whole[k], parts, k, states.at(exact.outputs()[k].ref().node).at(exact.outputs()[k].ref().output));
}

void OpChecker::compare_parts(const Tensor& whole, const std::vector<std::vector<Tensor>>& parts, std::size_t k,
                              const BatchState& state) const {
  const auto n = static_cast<std::int64_t>(parts.size());
  if (state.kind == BatchState::Kind::free)
    WEFT_CHECK(relative_error(parts[0][k], whole) <= 1e-10, "output '{}' is said not to depend on the batch and does",
               op_.outputs[k]);
  if (state.kind == BatchState::Kind::summed) {
    Tensor total(f64, whole.extents());
    for (const auto& part : parts)
      WEFT_CHECK(part[k].extents() == whole.extents(),
                 "output '{}' is said to be a sum over the batch; it is {} of one example and {} of all",
                 op_.outputs[k], part[k].type_str(), whole.type_str());
    for (const auto& part : parts)
      for (std::int64_t i = 0; i < total.size(); ++i) total.data<double>()[i] += part[k].at(i);
    const double error = relative_error(total, whole);
    WEFT_CHECK(error <= 1e-10, "output '{}' is said to be a sum over the batch; the parts differ by {:.3g}",
               op_.outputs[k], error);
  }
  if (state.kind != BatchState::Kind::split) return;
  // whole = [before][outer][n][inner][after]; example i of it is parts[i].
  std::int64_t before = 1, after = 1;
  for (int a = 0; a < state.axis; ++a) before *= whole.extent(a);
  for (int a = state.axis + 1; a < whole.rank(); ++a) after *= whole.extent(a);
  WEFT_CHECK(whole.extent(state.axis) == state.outer * n * state.inner, "output '{}' has no batch at axis {}",
             op_.outputs[k], state.axis);
  const std::int64_t high = before * state.outer, low = state.inner * after;
  double worst = 0;
  // A random op draws by its row in the full batch: only the first example has the same rows here (check_micro_batches
  // has all).
  for (std::int64_t i = 0; i < (op_.traits.random ? 1 : n); ++i)
    for (std::int64_t a = 0; a < high; ++a)
      for (std::int64_t b = 0; b < low; ++b) {
        const double x = whole.at((a * n + i) * low + b), y = parts[static_cast<std::size_t>(i)][k].at(a * low + b);
        if (x != y && !(std::isnan(x) && std::isnan(y)))
          worst = std::max(worst, std::abs(x - y) / std::max(1.0, std::abs(x)));
      }
  WEFT_CHECK(worst <= 1e-10, "output '{}' of one example alone differs by {:.3g} from the whole batch's",
             op_.outputs[k], worst);
}

// As accumulate(n) runs it: an example a micro-batch, its rows counted in the whole batch.
void OpChecker::check_micro_batches(const SampleRun& run) {
  const std::vector<std::vector<BatchState>> states = batch_states(run.graph());
  const Node& node = run.outputs().front().node();
  const std::int64_t n = run.batch();
  Graph graph = run.graph().clone();
  Values operands, outputs;
  {
    const auto phase = graph.phase(Phase::micro);
    for (const Value& operand : run.operands()) {
      operands.push_back(operand.absent() ? Value{} : graph.find(operand));
      if (operand.absent()) continue;
      const BatchState& state = states.at(operand.ref().node).at(operand.ref().output);
      if (state.kind == BatchState::Kind::split) operands.back() = micro_slice(operands.back(), state, n);
    }
    outputs = graph.apply(op_, operands, node.attributes);
  }
  const std::vector<Tensor> whole = run.run();
  Step step;
  step.graph = graph;
  step.micro_batches = n;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const BatchState& state = states.at(node.id).at(k);
    const auto phase = graph.phase(Phase::step);
    if (state.kind == BatchState::Kind::split) step.set_fetch(fmt::format("{}", k), micro_stack(outputs[k], state, n));
  }
  if (step.fetches.empty()) return;
  graph.check();
  Store store(graph);
  Program program(step, store);
  const Result result = program.run(run.feeds());
  for (const Fetch& fetch : step.fetches) {
    const std::size_t k = static_cast<std::size_t>(std::stoul(fetch.name));
    WEFT_CHECK(relative_error(result.tensor(fetch.name), whole[k]) <= 1e-10,
               "output '{}' draws other numbers in {} micro-batches than in one; hint: row r draws at row r + "
               "context.random().row_offset",
               op_.outputs[k], n);
  }
}

// A rule that says where the batch goes is checked by samples that have one.
void OpChecker::check_batched() {
  const auto batched = [](const Sample& sample) {
    return std::ranges::any_of(sample.inputs, [](const SampleInput& input) { return input.batch_axis >= 0; });
  };
  if (std::ranges::any_of(op_.samples, batched)) return;
  for (const Sample& sample : op_.samples) {
    if (sample.inputs.empty() || sample.inputs.front().extents.empty()) continue;
    const SampleRun run = built(sample, f64);
    if (!run.graph().problems().empty()) continue;
    std::vector<BatchState> in(sample.inputs.size());
    in.front() = BatchState::split_at(0);
    const auto view = run.graph().view(run.outputs().front().node());
    for (const BatchState& state : op_.batch(view->view, in))
      WEFT_CHECK(
          state.kind == BatchState::Kind::free || state.kind == BatchState::Kind::mixed,
          "the batch rule says '{}' of a batch at axis 0 of operand 0, and no sample has a batch to check that; hint: "
          "sample::normal({{3, 5}}).batched(0)",
          state.str());
    return;
  }
}

void OpChecker::check_threads(const SampleRun& run) {
  const std::vector<Tensor> one = run.run(1);
  for (int count : {2, 3, 4}) {
    const std::vector<Tensor> several = run.run(count);
    for (std::size_t k = 0; k < one.size(); ++k)
      WEFT_CHECK(same_bits(one[k], several[k]), "output '{}' has other bits with {} threads", op_.outputs[k], count);
  }
}

// Twice by one program; then over operands that die at the op, so that the plan may run it in place.
void OpChecker::check_recompute(const Sample& sample, DType dtype) {
  const SampleRun run = built(sample, dtype);
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
      WEFT_CHECK(same_bits(first[k], result.tensor(outputs[k].name())), "output '{}' has other bits when it runs {}",
                 op_.outputs[k], again == 0 ? "in place" : "again");
  }
}

}  // namespace weft
