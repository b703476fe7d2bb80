#include <weft/runtime/gemm.h>
#include <weft/runtime/memory/plan.h>

#include <algorithm>
#include <ostream>

namespace weft {

std::string readable_bytes(std::size_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes < 1024) return fmt::format("{} B", bytes);
  if (bytes < 1024 * 1024) return fmt::format("{:.1f} KiB", value / 1024);
  if (bytes < std::size_t{1024} * 1024 * 1024) return fmt::format("{:.2f} MiB", value / (1024 * 1024));
  return fmt::format("{:.3f} GiB", value / (1024.0 * 1024 * 1024));
}

std::vector<const Storage*> Plan::live_at(std::size_t position) const {
  std::vector<const Storage*> live;
  for (const Storage& storage : storages)
    if (storage.kind == StorageKind::arena && storage.bytes > 0 && storage.first <= position &&
        position <= storage.last)
      live.push_back(&storage);
  std::stable_sort(live.begin(), live.end(), [](const Storage* a, const Storage* b) { return a->bytes > b->bytes; });
  return live;
}

namespace {

// Products of two bytes for which this processor has no instructions.
std::string emulated_products(const Plan& plan) {
  bool used[2] = {false, false};
  for (const NodeId id : plan.schedule) {
    const Node& node = plan.step.graph.node(id);
    if (node.op->traits.precision != Precision::low) continue;
    const DType dtype = kernel_dtype(plan.step.graph.view(node)->view);
    used[0] |= dtype == bf16 && bf16_is_emulated();
    used[1] |= dtype == f16;
  }
  if (!used[0] && !used[1]) return "";
  return fmt::format("  products of {} are computed in f32 on this processor: right, no faster, fewer bytes\n",
                     used[0] && used[1] ? "bf16 and f16"
                     : used[0]          ? "bf16"
                                        : "f16");
}

}  // namespace

std::string Plan::str() const {
  const Graph& graph = step.graph;
  std::string text = fmt::format(
      "plan: {} nodes, {} threads\n"
      "  persistent {:>12} B  {:>10}  parameters and states\n"
      "  constant   {:>12} B  {:>10}\n"
      "  transient  {:>12} B  {:>10}  arena; lower bound {} B, ratio {:.3f}; without sharing {}\n"
      "  total      {:>12} B  {:>10}\n",
      schedule.size(), threads, persistent_bytes, readable_bytes(persistent_bytes), constant_bytes,
      readable_bytes(constant_bytes), arena_bytes, readable_bytes(arena_bytes), lower_bound,
      lower_bound == 0 ? 1.0 : static_cast<double>(arena_bytes) / static_cast<double>(lower_bound),
      readable_bytes(unshared_bytes), total_bytes(), readable_bytes(total_bytes()));
  text += emulated_products(*this);
  if (schedule.empty()) return text;
  if (micro_begin < micro_end)
    text += fmt::format("  runs {} nodes once, {} for each of {} micro-batches, {} once\n", micro_begin,
                        micro_end - micro_begin, step.micro_batches, schedule.size() - micro_end);
  const std::size_t at = std::min(peak_position, schedule.size() - 1);
  const Node& peak = graph.node(schedule[at]);
  const bool repeated = micro_begin <= at && at < micro_end;
  text += fmt::format("  peak at node {} of {}{}: {} ({})\n", at + 1, schedule.size(),
                      repeated ? ", of each micro-batch" : "", peak.name, weft::str(peak.where));
  const auto live = live_at(peak_position);
  constexpr std::size_t most = 12;
  for (std::size_t i = 0; i < std::min(most, live.size()); ++i) {
    const auto workspace = workspaces.find(live[i]->owner.node);
    const bool is_workspace = workspace != workspaces.end() && &storages[workspace->second] == live[i];
    text += fmt::format("    {:>12} B  {}{}\n", live[i]->bytes, graph.value(live[i]->owner).name(),
                        is_workspace ? " (workspace)" : " " + graph.type(live[i]->owner).str());
  }
  if (live.size() > most) {
    std::size_t rest = 0;
    for (std::size_t i = most; i < live.size(); ++i) rest += live[i]->bytes;
    text += fmt::format("    {:>12} B  in {} more tensors\n", rest, live.size() - most);
  }
  return text;
}

std::ostream& operator<<(std::ostream& out, const Plan& plan) { return out << plan.str(); }

}  // namespace weft
