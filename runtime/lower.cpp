#include <weft/graph/passes/common_subexpressions.h>
#include <weft/graph/passes/dead_code.h>
#include <weft/graph/passes/fold_constants.h>
#include <weft/graph/sources.h>
#include <weft/runtime/copy.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/lower.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/region/pass.h>
#include <weft/runtime/tensor.h>

#include <algorithm>
#include <cstring>
#include <tuple>

namespace weft {
namespace {

// Runs one node over constants with its own kernel: the same bits as in a program.
std::optional<std::vector<Constant>> run_node(const Graph& graph, const Node& node,
                                              const std::vector<const Constant*>& operands) {
  if (node.op->traits.view) return std::vector<Constant>{{node.types.front(), operands.front()->bytes}};
  const auto view = graph.view(node);
  const Kernel* kernel = node.op->kernel(kernel_dtype(view->view));
  if (kernel == nullptr) return std::nullopt;
  std::vector<Tensor> in, out;
  std::vector<const std::byte*> in_bytes;
  std::vector<std::byte*> out_bytes;
  for (const Constant* operand : operands) {
    in_bytes.push_back(nullptr);
    if (operand == nullptr) continue;
    in.emplace_back(operand->type.dtype, operand->type.shape.extents());
    std::ranges::copy(operand->bytes, in.back().raw());
    in_bytes.back() = in.back().raw();
  }
  for (const TensorType& type : node.types) {
    out.emplace_back(type.dtype, type.shape.extents());
    out_bytes.push_back(out.back().raw());
  }
  const auto workspace = allocate_aligned(kernel->workspace != nullptr ? kernel->workspace(view->view, threads()) : 0);
  const RandomState random;
  KernelContext context(view->view, in_bytes, out_bytes, workspace.get(), random);
  if (!makes_nothing(node)) {
    if (kernel->run != nullptr) kernel->run(context);
    else kernel->bind(view->view)(context);
  }
  std::vector<Constant> results;
  for (std::size_t i = 0; i < out.size(); ++i) {
    results.push_back({node.types[i], {}});
    results.back().bytes.assign(out[i].raw(), out[i].raw() + out[i].bytes());
  }
  return results;
}

bool lies_in_store_or_feed(const Graph& graph, ValueRef ref) {
  for (;;) {  // through views, without recursion
    const Node& node = graph.node(ref.node);
    if (node.op->traits.source) return true;
    if (!node.op->traits.view) return false;
    ref = node.operands.front();
  }
}

// state := value where value is another state, a feed or a constant; and fetches of those: a copy of their own, taken
// before anything is updated.
Step isolate_updates(const Step& step) {
  bool needed = false;
  for (const Update& update : step.updates) needed |= lies_in_store_or_feed(step.graph, update.value.ref());
  for (const Fetch& fetch : step.fetches) needed |= lies_in_store_or_feed(step.graph, fetch.value.ref());
  if (!needed) return step;
  Step result = step.over(step.graph.clone());
  const auto phase = result.graph.phase(Phase::step);
  auto isolate = [&](Value& value) {
    if (!lies_in_store_or_feed(result.graph, value.ref())) return;
    const auto scope = result.graph.made_by("isolate_updates", value.ref().node);
    value = result.graph.apply(copy_op(), {value}).front();
  };
  for (Update& update : result.updates) isolate(update.value);
  for (Fetch& fetch : result.fetches) isolate(fetch.value);
  return result;
}

}  // namespace

namespace {

// The passes that the step's ops bring, late or not, in their order.
std::vector<const Pass*> brought_by_ops(const Step& step, bool late) {
  std::vector<const Pass*> brought;
  for (NodeId id : step.graph.ids())
    for (const Pass* pass : step.graph.node(id).op->lowerings)
      if (pass->late == late && std::ranges::find(brought, pass) == brought.end()) brought.push_back(pass);
  std::ranges::sort(
      brought, [](const Pass* x, const Pass* y) { return std::tie(x->order, x->name) < std::tie(y->order, y->name); });
  return brought;
}

}  // namespace

std::vector<Pass> lowering_passes(const Step& step) {
  // Constants first: what they fold to may be equal.
  std::vector<Pass> passes{{"fold_constants", [](const Step& s) { return fold_constants(s, run_node); }},
                           {"common_subexpressions", common_subexpressions}};
  for (const Pass* pass : brought_by_ops(step, false)) passes.push_back(*pass);
  // Not for speed but for right results: cannot be switched off.
  passes.push_back({"isolate_updates", isolate_updates});
  // Last: what the others left behind.
  passes.push_back({"dead_code", dead_code});
  return passes;
}

Step lower(const Step& step, const PassOptions& options, PassReport* report) {
  if (step.lowered) return step;
  step.graph.check();
  WEFT_CHECK(!options.disabled.contains("isolate_updates"),
             "the pass 'isolate_updates' keeps results right and cannot be switched off");
  Step result = run_passes(step, lowering_passes(step), options, report);
  result.lowered = true;
  return result;
}

Step fuse(const Step& lowered, const PassOptions& options, PassReport* report) {
  std::vector<Pass> passes;
  for (const Pass* pass : brought_by_ops(lowered, true)) passes.push_back(*pass);
  // After the passes of ops: what those make of several nodes is no row-wise node any more.
  passes.push_back({"row_regions", row_regions});
  passes.push_back({"dead_code", dead_code});
  return run_passes(lowered, passes, options, report);
}

bool makes_nothing(const Node& node) {
  return std::ranges::all_of(node.types, [](const TensorType& type) { return type.count() == 0; });
}

}  // namespace weft
