// What a kernel touches, and what its op's traits promise of rows and of evaluation.
#include <weft/autodiff/plain_outputs.h>
#include <weft/graph/registry.h>
#include <weft/inspect/op/hand_run.h>
#include <weft/inspect/op/op_checker.h>
#include <weft/runtime/lower.h>
#include <weft/runtime/region/shape.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>

namespace weft {
namespace {

using Bytes = std::span<const std::byte>;

std::vector<Bytes> bytes_of(const SampleRun& run) {
  std::vector<Bytes> bytes;
  std::size_t fed = 0;
  for (const Value& operand : run.operands()) {
    bytes.emplace_back();
    if (operand.absent()) continue;
    const Tensor& tensor = run.tensor(fed++);
    bytes.back() = {tensor.raw(), tensor.bytes()};
  }
  return bytes;
}

// Row `row` of a part, `columns` of its elements from `column` on where it is as wide as the node.
Bytes row_of(Bytes whole, const TensorType& type, const RowPart& part, std::int64_t row, std::int64_t column,
             std::int64_t columns, std::int64_t node_width) {
  if (part.cut == RowPart::Cut::whole && part.width != node_width) return whole;
  const std::int64_t at = part.cut == RowPart::Cut::rows     ? row
                          : part.cut == RowPart::Cut::cycles ? row % part.period
                                                             : 0;
  const bool cut = part.width == node_width && !part.flat;
  const auto size = static_cast<std::int64_t>(size_of(type.dtype));
  if (part.cut == RowPart::Cut::whole && columns == node_width) return whole;
  const std::int64_t begin = at * part.width + (cut ? column : 0), count = cut ? columns : part.width;
  return whole.subspan(static_cast<std::size_t>(begin * size), static_cast<std::size_t>(count * size));
}

}  // namespace

void OpChecker::check_memory(const SampleRun& run) {
  const Node& node = run.outputs().front().node();
  const auto view = run.graph().view(node);
  if (node.op->traits.view || node.op->traits.source || node.op->kernel(kernel_dtype(view->view)) == nullptr) return;
  const std::vector<Bytes> operands = bytes_of(run);
  if (!registry().is_library(op_)) {
    const std::string fault = fault_in_child(view->view, operands);
    WEFT_CHECK(fault.empty(), "the kernel {}; hint: it may touch operands, outputs and the workspace, in their sizes",
               fault);
  }
  const HandRun first = run_by_hand(view->view, operands, std::byte{0xA5}),
                second = run_by_hand(view->view, operands, std::byte{0x5A});
  WEFT_CHECK(first.fault.empty(),
             "the kernel {}; hint: it may touch operands, outputs and the workspace, in their sizes", first.fault);
  for (std::size_t k = 0; k < first.outputs.size(); ++k)
    WEFT_CHECK(first.outputs[k] == second.outputs[k],
               "output '{}' depends on what lies in memory around the operands, in the outputs or in the workspace; "
               "hint: the kernel reads "
               "what nobody wrote, or leaves elements unwritten",
               op_.outputs[std::min(k, op_.outputs.size() - 1)]);
}

// What refuses a run must do so before a state is overwritten, so the plan has to know of it.
void OpChecker::check_refusals(const SampleRun& run) {
  for (std::size_t i = 0; i < run.names().size(); ++i) {
    const Tensor& tensor = run.tensor(i);
    if (tensor.size() == 0 || tensor.dtype() == boolean) continue;
    for (const double value : {-1.0, 0.0, 1e6, -1e6}) {
      try {
        run.with(i, tensor.size() - 1, value).run();
      } catch (const InternalError&) {
        if (op_.traits.refuses.value_or(true)) throw;  // else another node has to refuse it
      } catch (const UserError& error) {
        WEFT_FAIL("with {} in operand {} the kernel refuses the run: {}; hint: .traits = {{.refuses = true}}", value, i,
                  error.reason);
      }
    }
  }
}

// The end of an interval that does not belong to it is met by rounding, which takes many numbers and a narrow type.
void OpChecker::check_range(const Sample& sample) {
  Sample many = sample;
  many.attributes.set("shape", Shape{512, 512});
  for (const DType dtype : {f32, f64, bf16, f16}) {
    many.attributes.set("dtype", dtype);
    const SampleRun run = built(many, dtype);
    if (!run.supported()) continue;
    const Interval range = op_.range(run.graph().view(run.outputs().front().node())->view);
    const Spread drawn = spread_of(run.run().front());
    WEFT_CHECK(drawn.least >= range.low && (drawn.most < range.high || range.low == range.high),
               "of [{}, {}) the op draws {} to {} in {}; hint: rounding may reach the end that does not belong to it",
               range.low, range.high, drawn.least, drawn.most, name_of(dtype));
  }
}

void OpChecker::check_rows(const SampleRun& run) {
  const Node& node = run.outputs().front().node();
  const auto holder = run.graph().view(node);
  const OpView& view = holder->view;
  const auto shape = row_shape(view);
  if (!shape) return;
  const std::vector<Bytes> operands = bytes_of(run);
  const HandRun whole = run_by_hand(view, operands, std::byte{0xA5});
  auto alone = [&](std::int64_t row, std::int64_t column, std::int64_t columns) {
    std::vector<TensorType> in_types, out_types;
    in_types.reserve(operands.size());
    std::vector<const TensorType*> in;
    std::vector<Bytes> parts;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      in.push_back(nullptr);
      parts.emplace_back();
      if (!view.has(static_cast<int>(i))) continue;
      const TensorType& type = view.type(static_cast<int>(i));
      in_types.push_back(block_type(type, shape->in[i], 1, columns, shape->width));
      in.back() = &in_types.back();
      parts.back() = row_of(operands[i], type, shape->in[i], row, column, columns, shape->width);
    }
    for (std::size_t k = 0; k < view.out.size(); ++k)
      out_types.push_back(block_type(view.out[k], shape->out[k], 1, columns, shape->width));
    const OpView part{view.op, view.attributes, in, out_types};
    const HandRun got = run_by_hand(part, parts, std::byte{0xA5}, row);
    for (std::size_t k = 0; k < view.out.size(); ++k) {
      const Bytes want = row_of(whole.outputs[k], view.out[k], shape->out[k], row, column, columns, shape->width);
      WEFT_CHECK(std::ranges::equal(got.outputs[k], want),
                 "row {}{} alone gives other bits in output '{}' than in the whole: {} promises that rows do not meet, "
                 "which regions rely on",
                 row, columns == shape->width ? "" : fmt::format(", column {},", column),
                 op_.outputs[std::min(k, op_.outputs.size() - 1)],
                 view.op.row_wise != nullptr && view.op.row_wise(view) ? ".row_wise" : ".traits.pointwise");
    }
  };
  for (std::int64_t row = 0; row < std::min<std::int64_t>(shape->rows, 8); ++row) {
    alone(row, 0, shape->width);
    if (shape->whole_rows) continue;
    for (const std::int64_t column : {std::int64_t{0}, shape->width - 1}) alone(row, column, 1);
  }
}

// The rule builds, and gives values of the node's own types (autodiff/plain_outputs.h).
void OpChecker::check_evaluation(const SampleRun& run) {
  Graph graph = run.graph().clone();
  Values operands;
  for (const Value& operand : run.operands()) operands.push_back(operand.absent() ? Value{} : graph.find(operand));
  const Node& node = run.outputs().front().node();
  evaluation_outputs(op_, {operands, node.attributes, node.types});
  graph.check();
}

}  // namespace weft
