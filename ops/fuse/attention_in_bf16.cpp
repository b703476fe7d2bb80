#include <weft/graph/pass.h>
#include <weft/ops/attention/attention.h>
#include <weft/ops/fuse/fusion.h>
#include <weft/ops/fuse/passes.h>

namespace weft {
namespace {

std::optional<Change> in_bf16(const Graph& graph, const Readers&, const Node& node) {
  if (node.op != &attention_op() && node.op != &attention_backward_op()) return {};
  if (graph.type(node.operands.front()).dtype != bf16 || node.attributes.flag("low")) return {};
  Change change{node, {}};
  change.node.attributes.set("low", true);
  return change;
}

}  // namespace

const Pass& attention_in_bf16() {
  static const Pass pass{.name = "attention_in_bf16",
                         .run = [](const Step& step) { return change_nodes(step, "attention_in_bf16", in_bf16); },
                         .late = true,
                         .optional = true};
  return pass;
}

}  // namespace weft
