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

// What a step goes through before it runs, from the first pass to the last. A row without a function is a pass that ops
// bring; docs/lowering.md says what those do.
constexpr LoweringRow table[] = {
    // --- lower(): what people, checkpoint and proofs still read ---
    {fold_constants_pass, false, "first: what constants fold to may be equal to something else",
     [](const Step& step) { return fold_constants(step, run_node); }},
    {"common_subexpressions", false, "before any pattern is looked for: each is then there once, with all its readers",
     [](const Step& step) { return common_subexpressions(step); }},
    {"chunk_projection_loss", false,
     "in lower(), because logits that never exist whole are none that checkpoint could keep or make again"},
    {"", false, "passes of users' ops: they see what weft's own made, and their results are isolated and cleaned up"},
    {"isolate_updates", false,
     "for right results, so it cannot be switched off; after all that could make an update the state of another",
     isolate_updates},
    {"dead_code", false, "last: what the others left behind", [](const Step& step) { return dead_code(step); }},

    // --- fuse(): for kernels alone ---
    {"attention_in_bf16", true, "only where it is asked for; looks at attention alone, so its place does not matter"},
    {"fuse_accumulate", true, "first of those that take products: a sum over micro-batches needs its product bare"},
    {"fuse_adamw_factor", true, "the product with clipping's factor is pointwise: before row_regions would take it"},
    {"fuse_addend", true,
     "before fuse_matmul_epilogue: a sum that a table or a norm's gradient can take in place is no product's"},
    {"fuse_matmul_epilogue", true, "a tile is in cache once, so it beats row_regions for the nodes behind a product"},
    {"", true, "passes of users' ops: what they leave pointwise or row-wise may still join a region"},
    {"row_regions", true, "after the passes of ops: what those make of several nodes is no row-wise node any more",
     row_regions},
    {"dead_code", true, "last: what the others left behind", [](const Step& step) { return dead_code(step); }},
};

bool runs_in(const LoweringRow& row, const Pass& pass) {
  return row.run == nullptr && row.late == pass.late && row.name == pass.name;
}

// The passes that the step's ops bring, by Pass::order and name.
std::vector<const Pass*> brought_by_ops(const Step& step, bool late) {
  std::vector<const Pass*> brought;
  for (NodeId id : step.graph.ids())
    for (const Pass* pass : step.graph.node(id).op->lowerings)
      if (pass->late == late && std::ranges::find(brought, pass) == brought.end()) brought.push_back(pass);
  std::ranges::sort(
      brought, [](const Pass* x, const Pass* y) { return std::tie(x->order, x->name) < std::tie(y->order, y->name); });
  return brought;
}

std::vector<Pass> passes_of(const Step& step, bool late) {
  std::vector<Pass> passes;
  const std::vector<const Pass*> brought = brought_by_ops(step, late);
  for (const LoweringRow& row : table) {
    if (row.late != late) continue;
    if (row.run != nullptr) passes.push_back({.name = std::string(row.name), .run = row.run});
    for (const Pass* pass : brought) {
      const bool named = std::ranges::any_of(table, [&](const LoweringRow& other) { return runs_in(other, *pass); });
      if (row.run == nullptr && (row.name.empty() ? !named : runs_in(row, *pass))) passes.push_back(*pass);
    }
  }
  return passes;
}

}  // namespace

std::span<const LoweringRow> lowering_table() { return table; }

std::vector<Pass> lowering_passes(const Step& step) { return passes_of(step, false); }

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
  return run_passes(lowered, passes_of(lowered, true), options, report);
}

bool makes_nothing(const Node& node) {
  return std::ranges::all_of(node.types, [](const TensorType& type) { return type.count() == 0; });
}

}  // namespace weft
