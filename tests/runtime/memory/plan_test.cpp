// Plans of random steps and of small transformers: valid, tight, the same every time, and of no consequence to results.
#include <support/catch.h>
#include <support/random_steps.h>

#include <weft/runtime/in_place.h>
#include <weft/runtime/memory/schedulers.h>
#include <weft/weft.h>

#include <algorithm>
#include <random>

using namespace weft;

namespace {

Step random_step(int seed) {
  return lower(random_steps::make(static_cast<std::uint64_t>(seed), {.kind = random_steps::kinds[seed % 4],
                                                                     .nodes = 20 + seed * 29 % 180,
                                                                     .most = 1024,
                                                                     .smallest_share = 0.1 * (seed % 7)}));
}

double ratio(const Plan& made) {
  return made.lower_bound == 0 ? 1 : static_cast<double>(made.arena_bytes) / static_cast<double>(made.lower_bound);
}

// The nodes in a random topological order that keeps what reads a state ahead of nothing in particular: states are
// copied at the end of the run in the plans below.
std::vector<NodeId> random_order(const Step& step, std::mt19937& random) {
  std::vector<NodeId> left = computing_nodes(step), order;
  std::vector<bool> made(step.graph.next_id(), false);
  for (const NodeId id : step.graph.ids()) made[id] = step.graph.node(id).op->traits.source;
  while (!left.empty()) {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < left.size(); ++i)
      if (std::ranges::all_of(step.graph.node(left[i]).operands, [&](ValueRef ref) { return made[ref.node]; }))
        ready.push_back(i);
    const std::size_t taken = ready[random() % ready.size()];
    order.push_back(left[taken]);
    made[left[taken]] = true;
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  return order;
}

// The same step in another order, every value in bytes of its own.
Plan unshared(Plan made, const std::vector<NodeId>& order) {
  const Graph& graph = made.step.graph;
  made.schedule = order;
  std::erase_if(made.storages, [](const Storage& storage) { return storage.kind == StorageKind::arena; });
  std::unordered_map<ValueRef, std::size_t> places;
  for (std::size_t i = 0; i < made.storages.size(); ++i) places[made.storages[i].owner] = i;
  const auto workspaces = std::exchange(made.workspaces, {});
  std::size_t offset = 0;
  const auto add = [&](std::size_t bytes, ValueRef owner) {
    bytes = (bytes + 63) / 64 * 64;
    made.storages.push_back({StorageKind::arena, bytes, offset, 0, order.size(), owner});
    offset += bytes;
    return made.storages.size() - 1;
  };
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    for (std::uint32_t k = 0; k < node.types.size(); ++k)
      places[{id, k}] =
          node.op->traits.view && k == 0 ? places.at(node.operands.front()) : add(node.types[k].bytes(), {id, k});
    if (workspaces.contains(id)) made.workspaces[id] = add(16384, {id, 0});
  }
  made.storage_of = std::move(places);
  made.copies = made.step.updates;
  made.arena_bytes = made.lower_bound = offset;
  return made;
}

std::vector<Tensor> results(Plan made) {
  Store store(made.step, {.seed = 1});
  const Step step = made.step;
  Program program(std::move(made), store);
  std::vector<Tensor> tensors;
  for (int run = 0; run < 2; ++run) {
    const Result result = program.run({});
    for (const Fetch& fetch : step.fetches) tensors.push_back(result.tensor(fetch.name).clone());
  }
  for (const Update& update : step.updates) tensors.push_back(store.tensor(update.state.name()).clone());
  return tensors;
}

Step gpt_step(bool clipped, std::int64_t time) {
  Graph graph;
  const Dim batch = graph.dim("batch", 2), length = graph.dim("time", time);
  const Value tokens = graph.input("tokens", i32, {batch, length}),
              targets = graph.input("targets", i32, {batch, length});
  const nn::Gpt model(graph, {.vocab = 31, .layers = 4, .heads = 2, .width = 32, .context = time});
  const Step step = training_step(cross_entropy(model(tokens), targets));
  return clipped ? step | clip_global_norm(1.0) | optimize(adamw({})) : step | optimize(adamw({}));
}

}  // namespace

TEST_CASE("plans of random steps are valid, their arena is the largest sum of live bytes or little more",
          "[core][runtime]") {
  double sum = 0;
  for (int seed = 0; seed < 80; ++seed) {
    CAPTURE(seed);
    const Step step = random_step(seed);
    const Plan made = plan(step, {.threads = 2}), quick = plan(step, {.threads = 2, .effort = Effort::quick});
    REQUIRE_NOTHROW(check_plan(made));
    REQUIRE_NOTHROW(check_plan(quick));
    CHECK(ratio(made) <= 1.05);
    CHECK(made.arena_bytes <= quick.arena_bytes);
    sum += ratio(made);
  }
  CHECK(sum / 80 < 1.01);
}

TEST_CASE("the bytes by which orders are compared are those of the plan", "[core][runtime]") {
  for (int seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    const Plan made = plan(random_step(seed), {.threads = 2});
    Decided decided;
    decided.workspace.assign(made.step.graph.next_id(), 0);
    decided.in_place.resize(made.step.graph.next_id());
    for (const NodeId id : made.schedule)
      decided.in_place[id] = legal_in_place(made.step.graph, made.step.graph.node(id));
    for (const auto& [id, storage] : made.workspaces) decided.workspace[id] = made.storages[storage].bytes;
    for (const Update& update : made.step.updates)
      if (made.storage_of.at(update.value.ref()) == made.storage_of.at(update.state.ref()))
        decided.in_state[update.value.ref()] = update.state.ref();
    Flow flow(made.step, {}, decided);
    std::vector<int> order;
    for (const NodeId id : made.schedule) order.push_back(flow.liveness.position(id));
    CHECK(peak_of(flow, order) == made.lower_bound);
    for (int at : order) flow.liveness.run(at);  // and undone, the same again
    for (auto at = order.rbegin(); at != order.rend(); ++at) flow.liveness.undo(*at);
  }
}

TEST_CASE("results do not depend on the order nor on where values lie", "[core][runtime]") {
  std::mt19937 random(7);
  for (int seed = 0; seed < 32; ++seed) {
    CAPTURE(seed);
    const Plan made = plan(random_step(seed), {.threads = 2});
    const std::vector<Tensor> want = results(unshared(made, computing_nodes(made.step)));
    const auto same = [&](const std::vector<Tensor>& got) {
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < want.size(); ++i) CHECK(same_bits(got[i], want[i]));
    };
    same(results(made));
    same(results(plan(made.step, {.threads = 2, .effort = Effort::quick})));
    same(results(unshared(made, random_order(made.step, random))));
  }
}

TEST_CASE("the same step gives the same plan", "[core][runtime]") {
  for (int seed = 0; seed < 12; ++seed) {
    const Step step = random_step(seed);
    const Plan a = plan(step), b = plan(step);
    CHECK(a.schedule == b.schedule);
    REQUIRE(a.storages.size() == b.storages.size());
    for (std::size_t i = 0; i < a.storages.size(); ++i) CHECK(a.storages[i].offset == b.storages[i].offset);
  }
}

TEST_CASE("transformers take exactly the largest sum of live bytes", "[core][runtime]") {
  for (const bool clipped : {false, true})
    for (const std::int64_t time : {8, 64}) {
      const Step step = gpt_step(clipped, time);
      for (const Step& tried : {step, step | checkpoint(every_block())}) {
        const Plan made = plan(tried, {.threads = 2});
        check_plan(made);
        CHECK(made.arena_bytes == made.lower_bound);
      }
    }
}

TEST_CASE("a gradient dies at its parameter's update", "[core][runtime]") {
  const Plan made = plan(gpt_step(false, 64), {.threads = 2});
  const Graph& graph = made.step.graph;
  std::size_t updates = 0;
  for (const Value& parameter : made.step.parameters) {
    const auto update = std::ranges::find_if(made.step.updates, [&](const Update& u) { return u.state == parameter; });
    REQUIRE(update != made.step.updates.end());
    const NodeId id = update->value.ref().node;
    const auto position = static_cast<std::size_t>(std::ranges::find(made.schedule, id) - made.schedule.begin());
    for (const ValueRef& ref : graph.node(id).operands) {
      if (ref.node == no_node || made.storage(ref).kind != StorageKind::arena || graph.type(ref) != parameter.type())
        continue;
      CHECK(made.storage(ref).last == position);
      ++updates;
    }
  }
  REQUIRE(updates == made.step.parameters.size());
}

TEST_CASE("where a norm needs all gradients, activations are freed as early as without it", "[core][runtime]") {
  // With much more activations than parameters the peak is where the backward pass begins.
  CHECK(plan(gpt_step(true, 64), {.threads = 2}).lower_bound == plan(gpt_step(false, 64), {.threads = 2}).lower_bound);
}
