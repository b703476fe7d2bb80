#include <weft/graph/registry.h>
#include <weft/graph/sources.h>
#include <weft/graph/user_rule.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/in_place.h>
#include <weft/runtime/lower.h>
#include <weft/runtime/memory/liveness.h>
#include <weft/runtime/memory/phases.h>
#include <weft/runtime/memory/placement.h>
#include <weft/runtime/memory/plan.h>
#include <weft/runtime/memory/schedule.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/region/region.h>
#include <weft/runtime/tensor.h>

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_set>

namespace weft {

Plan::Plan() = default;
Plan::Plan(const Plan&) = default;
Plan::Plan(Plan&&) noexcept = default;
Plan& Plan::operator=(const Plan&) = default;
Plan& Plan::operator=(Plan&&) noexcept = default;
Plan::~Plan() = default;

namespace {

class Planner {
 public:
  Planner(const Step& step, const PlanOptions& options) : effort_(options.effort) {
    plan_.threads = options.threads > 0 ? options.threads : threads();
    plan_.step = fuse(lower(step, options.lowering, &plan_.passes), options.lowering, &plan_.passes);
    for (const Value& input : step.graph.inputs())
      if (!graph().has(input.ref().node)) plan_.unread_inputs.push_back(input.node().name);
    require_kernels();
  }

  Plan run() {
    phase_ = phases(plan_.step);
    held_ = held_through(plan_.step, phase_, [this](ValueRef ref) { return base_of(graph(), ref); });
    look_at_nodes();
    choose_states_updated_in_place();
    for (const Value& root : plan_.step.roots()) kept_.insert(base_of(graph(), root.ref()));
    place_sources();
    before_ = std::move(plan_);
    // In pairs of storages: what bounds the time of the search for a small arena.
    work_ = before_.step.graph.size() > 5000 ? 30'000'000 : 160'000'000;
    for (const Scheduled& order : schedules(before_.step, edges_, decided_, effort_)) {
      if (!best_.storage_of.empty() && best_.arena_bytes <= order.peak) break;  // no later one can be smaller
      if (!best_.storage_of.empty() && work_ == 0 && !order.quick) continue;
      room_.clear();
      lay_out(order);
      if (effort_ == Effort::full && work_ > 0 && plan_.arena_bytes > plan_.lower_bound) {
        // Storages that end where others begin are easier to place than long ones: outputs overwrite their operand only
        // where there is no room for both.
        room_ = live_bytes(plan_.storages, plan_.schedule.size());
        for (std::size_t& live : room_) live = plan_.lower_bound - live;
        keep_smaller();
        lay_out(order);
      }
      keep_smaller();
    }
    return std::move(best_);
  }

 private:
  const Graph& graph() const { return plan_.step.graph; }

  // One order, with all that depends on it.
  void lay_out(const Scheduled& order) {
    plan_ = before_;
    plan_.schedule = order.nodes;
    plan_.scheduled_by = order.by;
    find_micro_batches();
    find_last_reads();
    for (std::size_t i = 0; i < plan_.schedule.size(); ++i) place_outputs(i);
    for (const Update& update : plan_.step.updates)
      if (plan_.storage_of.at(update.value.ref()) != plan_.storage_of.at(update.state.ref()))
        plan_.copies.push_back(update);
    std::size_t work = std::min<std::size_t>(work_, 60'000'000), left = work;
    plan_.arena_bytes = place(plan_.storages, effort_, left, &plan_.placed_by);
    work_ -= work - left;
    plan_.lower_bound = live_peak(plan_.storages, plan_.schedule.size(), &plan_.peak_position);
  }

  void keep_smaller() {
    if (best_.storage_of.empty() || plan_.arena_bytes < best_.arena_bytes) best_ = std::move(plan_);
  }

  void look_at_nodes() {
    decided_.workspace.assign(graph().next_id(), 0);
    decided_.in_place.assign(graph().next_id(), {});
    for (NodeId id : computing_nodes(plan_.step)) {
      const Node& node = graph().node(id);
      const auto view = graph().view(node);
      decided_.in_place[id] = legal_in_place(graph(), node);
      if (makes_nothing(node)) continue;
      const Kernel* kernel = node.op->kernel(kernel_dtype(view->view));
      if (kernel != nullptr && kernel->workspace != nullptr)
        decided_.workspace[id] = aligned(user_rule(node, "the workspace of its kernel",
                                                   [&] { return kernel->workspace(view->view, plan_.threads); }));
    }
  }

  void find_micro_batches() {
    if (plan_.step.micro_batches == 1) return;
    auto not_before = [&](NodeId id) { return phase_.at(id) != Phase::before; };
    auto after = [&](NodeId id) { return phase_.at(id) == Phase::after; };
    const auto begin = std::ranges::find_if(plan_.schedule, not_before),
               end = std::ranges::find_if(plan_.schedule, after);
    plan_.micro_begin = static_cast<std::size_t>(begin - plan_.schedule.begin());
    plan_.micro_end = static_cast<std::size_t>(end - plan_.schedule.begin());
  }

  void require_kernels() const {
    for (NodeId id : computing_nodes(plan_.step)) {
      const Node& node = graph().node(id);
      const auto view = graph().view(node);
      if (node.op->kernel(kernel_dtype(view->view)) != nullptr || node.op->traits.view) continue;
      const std::string_view wanted = name_of(kernel_dtype(view->view));
      std::string known;
      for (const Kernel& kernel : node.op->kernels)
        known += fmt::format("{}{}", known.empty() ? "" : ", ", name_of(kernel.dtype));
      graph().add_problem(
          {node.name, node.where,
           fmt::format("[{}] has no kernel for {}; it has: {}; hint: cast(x, {}) before it, or a Kernel with "
                       ".dtype = {} in its OpDef's .kernels",
                       node.op->name, wanted, known.empty() ? "none" : known,
                       node.op->kernels.empty() ? "f32" : name_of(node.op->kernels.front().dtype), wanted),
           ""});
    }
    graph().check();
  }

  // A state that its update may overwrite: all other readers and all that may refuse must have run, which adds edges to
  // the order. Where those would close a circle the update is copied at the end instead.
  void choose_states_updated_in_place() {
    std::unordered_map<ValueRef, std::vector<NodeId>> readers;
    std::unordered_map<NodeId, std::vector<NodeId>> after;
    std::vector<NodeId> refusing;
    for (NodeId id : computing_nodes(plan_.step)) {
      if (refuses(graph().node(id))) refusing.push_back(id);
      for (ValueRef ref : graph().node(id).operands)
        if (ref.node != no_node) {
          readers[base_of(graph(), ref)].push_back(id);
          after[ref.node].push_back(id);
        }
    }
    for (const Update& update : plan_.step.updates) {
      const Node& node = graph().node(update.value);
      // Micro-batches read states as they were before the run.
      if (node.op->traits.source || phase_.at(node.id) != Phase::after) continue;
      if (refuses(node)) continue;  // perhaps when a part is written
      for (const InPlace& pair : decided_.in_place[node.id]) {
        if (pair.output != static_cast<int>(update.value.ref().output)) continue;
        if (node.operands[static_cast<std::size_t>(pair.operand)] != update.state.ref()) continue;
        const std::set<NodeId> later = reachable(after, node.id);
        std::set<NodeId> first(refusing.begin(), refusing.end());  // what has to run before the state changes
        first.insert(readers[update.state.ref()].begin(), readers[update.state.ref()].end());
        if (std::ranges::any_of(first, [&](NodeId id) { return id != node.id && later.contains(id); })) break;
        for (NodeId id : first)
          if (id != node.id) {
            edges_.emplace_back(id, node.id);
            after[id].push_back(node.id);
          }
        decided_.in_state[update.value.ref()] = update.state.ref();
      }
    }
  }

  static bool refuses(const Node& node) {
    if (node.op != &row_region_op()) return may_refuse(*node.op);
    return std::ranges::any_of(row_region_of(node.attributes).members,
                               [](const RowRegion::Member& member) { return may_refuse(*member.op); });
  }

  static std::set<NodeId> reachable(const std::unordered_map<NodeId, std::vector<NodeId>>& after, NodeId from) {
    std::set<NodeId> seen;
    std::vector<NodeId> open{from};
    while (!open.empty()) {
      const NodeId id = open.back();
      open.pop_back();
      const auto next = after.find(id);
      if (next == after.end()) continue;
      for (NodeId to : next->second)
        if (seen.insert(to).second) open.push_back(to);
    }
    return seen;
  }

  void find_last_reads() {
    last_read_.clear();
    for (std::size_t i = 0; i < plan_.schedule.size(); ++i)
      for (ValueRef ref : graph().node(plan_.schedule[i]).operands)
        if (ref.node != no_node) last_read_[base_of(graph(), ref)] = i;
  }

  std::size_t add_storage(StorageKind kind, std::size_t bytes, std::size_t first, ValueRef owner) {
    plan_.storages.push_back({kind, aligned(bytes), 0, first, first, owner});
    return plan_.storages.size() - 1;
  }

  void place_sources() {
    for (NodeId id : graph().ids()) {
      const Node& node = graph().node(id);
      if (!node.op->traits.source) continue;
      const StorageKind kind = node.op == &input_op()      ? StorageKind::fed
                               : node.op == &constant_op() ? StorageKind::constant
                                                           : StorageKind::persistent;
      const std::size_t bytes = node.types.front().bytes();
      plan_.storage_of[{id, 0}] = add_storage(kind, bytes, 0, {id, 0});
      if (kind == StorageKind::persistent) plan_.persistent_bytes += bytes;
      if (kind == StorageKind::constant) plan_.constant_bytes += aligned(bytes);
    }
  }

  // The storage of an operand that dies at `position` and whose bytes output k may take.
  std::optional<std::size_t> reusable(const Node& node, std::size_t position, std::uint32_t k) const {
    for (const InPlace& pair : decided_.in_place[node.id]) {
      if (pair.output != static_cast<int>(k)) continue;
      const ValueRef operand = node.operands[static_cast<std::size_t>(pair.operand)], base = base_of(graph(), operand);
      const std::size_t storage = plan_.storage_of.at(operand);
      if (plan_.storages[storage].kind != StorageKind::arena || kept_.contains(base)) continue;
      if (last_read_.at(base) != position) continue;
      // What is held through the micro-batches is read again by the next.
      if (!held_.contains(base) || phase_.at(node.id) != Phase::micro) return storage;
    }
    return {};
  }

  void place_outputs(std::size_t position) {
    const Node& node = graph().node(plan_.schedule[position]);
    std::set<std::size_t> taken;  // two outputs never take one operand's bytes
    for (std::uint32_t k = 0; k < node.types.size(); ++k) {
      const ValueRef ref{node.id, k};
      if (node.op->traits.view && k == 0) {
        plan_.storage_of[ref] = plan_.storage_of.at(node.operands.front());
        continue;
      }
      if (const auto state = decided_.in_state.find(ref); state != decided_.in_state.end()) {
        plan_.storage_of[ref] = plan_.storage_of.at(state->second);
        continue;
      }
      std::optional<std::size_t> reuse = reusable(node, position, k);
      if (reuse && !room_.empty() && room_[position] >= aligned(node.types[k].bytes())) {
        room_[position] -= aligned(node.types[k].bytes());
        reuse.reset();
      }
      if (reuse && taken.insert(*reuse).second) {
        plan_.storage_of[ref] = *reuse;
      } else {
        const std::size_t bytes = node.types[k].bytes();
        plan_.unshared_bytes += aligned(bytes);
        plan_.storage_of[ref] = add_storage(StorageKind::arena, bytes, position, ref);
      }
      Storage& storage = plan_.storages[plan_.storage_of[ref]];
      const auto last = last_read_.find(ref);
      storage.last = std::max(storage.last, last == last_read_.end() ? position : last->second);
      if (held_.contains(ref)) {
        storage.last = std::max(storage.last, plan_.micro_end - 1);
        if (node.op->traits.gathers) storage.first = plan_.micro_begin;
      }
      if (kept_.contains(ref)) storage.last = plan_.schedule.size();
    }
    if (const std::size_t bytes = decided_.workspace[node.id]; bytes > 0) {
      plan_.unshared_bytes += bytes;
      plan_.workspaces[node.id] = add_storage(StorageKind::arena, bytes, position, {node.id, 0});
    }
  }

  Plan plan_;           // what is being made
  Plan before_, best_;  // without an order; with the best so far
  Effort effort_;
  std::size_t work_ = 0;
  std::vector<std::size_t> room_;  // by position: bytes that may live there beside the others; empty: none
  OrderEdges edges_;
  Decided decided_;
  std::unordered_map<ValueRef, std::size_t> last_read_;
  std::set<ValueRef> kept_;
  std::unordered_map<NodeId, Phase> phase_;
  std::unordered_set<ValueRef> held_;  // through all micro-batches
};

}  // namespace

Plan plan(const Step& step, const PlanOptions& options) {
  step.graph.check();
  return Planner(step, options).run();
}

}  // namespace weft
