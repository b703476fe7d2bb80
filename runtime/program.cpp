#include <weft/graph/sources.h>
#include <weft/graph/user_rule.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/lower.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/program.h>

#include <algorithm>
#include <chrono>
#include <cstring>

namespace weft {

namespace {

// One node, ready to run: pointers are fixed at binding, except those into feeds.
struct BoundNode {
  const Node* node = nullptr;
  std::unique_ptr<Graph::View> view;
  BoundKernel kernel;
  std::vector<const std::byte*> in;
  std::vector<std::byte*> out;
  std::byte* workspace = nullptr;
  std::int64_t rows = 0;  // by which a random node's rows move on from one micro-batch to the next
};

struct FedInput {
  const Node* node = nullptr;
  const Tensor* tensor = nullptr;          // of this run
  std::vector<const std::byte**> readers;  // pointers to set
};

}  // namespace

struct Program::Impl {
  Impl(Plan planned, const Store& over) : plan(std::move(planned)), store(over.share()) {}

  Plan plan;
  Store store;  // keeps the cells, whatever becomes of the user's handle
  RunGuard running;
  std::shared_ptr<std::byte> arena;
  std::vector<Tensor> constants;
  std::vector<BoundNode> nodes;
  std::vector<FedInput> inputs;
  struct Copy {
    std::byte* to;
    const std::byte* from;
    std::size_t bytes;
  };
  std::vector<Copy> copies;                    // updates that end a run
  bool advances = false;                       // trains or draws
  std::size_t micro_begin = 0, micro_end = 0;  // nodes that run once for each micro-batch

  // Bytes of a value; null while it lies in a feed.
  std::byte* bytes_of(ValueRef ref) {
    const Storage& storage = plan.storage(ref);
    switch (storage.kind) {
      case StorageKind::fed:
        return nullptr;
      case StorageKind::arena:
        return arena.get() + storage.offset;
      case StorageKind::persistent:
        return store.tensor(plan.step.graph.node(storage.owner.node).name).raw();
      case StorageKind::constant:
        return constant_bytes.at(storage.owner);
    }
    return nullptr;
  }
  std::unordered_map<ValueRef, std::byte*> constant_bytes;

  void bind();
  void expect_memory() const;
  void bind_node(const Node& node);
  void check_feeds(std::span<const Feed> feeds);
  void run(std::size_t begin, std::size_t end, MicroBatch micro);
  void run(std::span<const Feed> feeds);

  // Of a run under profile(): a node's first start and its time, by its place in `nodes`.
  struct Times {
    using Clock = std::chrono::steady_clock;
    Clock::time_point begin;
    std::vector<double> start, taken;
  };
  Times* times = nullptr;
};

// UserError, before anything is allocated, if the machine cannot hold what the program adds to the Store's cells.
void Program::Impl::expect_memory() const {
  std::vector<std::pair<std::size_t, std::string>> parts;
  for (const Storage* storage : plan.live_at(plan.peak_position)) {
    if (!plan.step.graph.has(storage->owner.node)) continue;
    const Node& node = plan.step.graph.node(storage->owner.node);
    parts.emplace_back(storage->bytes,
                       fmt::format("{} of '{}' ({})", node.types.front().str(), node.name, str(node.where)));
  }
  weft::expect_memory(plan.arena_bytes + plan.constant_bytes, "a run of this step", std::move(parts));
}

void Program::Impl::bind() {
  const ThreadsScope team(plan.threads);
  const Graph& graph = plan.step.graph;
  expect_memory();
  store.add(graph);
  arena = allocate_aligned(plan.arena_bytes);
  for (NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (node.op == &constant_op()) {
      const auto& value = node.attributes.get<std::shared_ptr<const Constant>>("value");
      constants.emplace_back(value->type.dtype, value->type.shape.extents());
      std::ranges::copy(value->bytes, constants.back().raw());
      constant_bytes[{id, 0}] = constants.back().raw();
    } else if (node.op == &input_op()) {
      inputs.push_back({&node, nullptr, {}});
    }
  }
  nodes.reserve(plan.schedule.size());  // readers point into the nodes
  for (std::size_t i = 0; i < plan.schedule.size(); ++i) {
    const Node& node = graph.node(plan.schedule[i]);
    if (i == plan.micro_begin) micro_begin = nodes.size();
    if (i == plan.micro_end) micro_end = nodes.size();
    advances |= node.op->traits.random && node.attributes.has("stream");  // attention without dropout draws nothing
    if (!node.op->traits.view) bind_node(node);
  }
  if (plan.micro_end == plan.schedule.size()) micro_end = nodes.size();
  advances |= !plan.step.updates.empty();
  for (const Update& update : plan.copies)
    copies.push_back({bytes_of(update.state.ref()), bytes_of(update.value.ref()), update.value.type().bytes()});
}

void Program::Impl::bind_node(const Node& node) {
  const Graph& graph = plan.step.graph;
  BoundNode& bound = nodes.emplace_back();
  bound.node = &node;
  bound.view = graph.view(node);
  const Kernel* kernel = node.op->kernel(kernel_dtype(bound.view->view));
  if (makes_nothing(node)) bound.kernel = [](KernelContext&) {};
  else if (kernel->run != nullptr) bound.kernel = kernel->run;
  else
    bound.kernel = user_rule(node, ".bind of its kernel", [&] {
      BoundKernel made = kernel->bind(bound.view->view);
      WEFT_CHECK(made, ".bind of its kernel gives nothing to run; hint: it gives back a function of a KernelContext&");
      return made;
    });
  for (ValueRef ref : node.operands) bound.in.push_back(ref.node == no_node ? nullptr : bytes_of(ref));
  for (std::uint32_t k = 0; k < node.types.size(); ++k) bound.out.push_back(bytes_of({node.id, k}));
  for (std::size_t i = 0; i < node.operands.size(); ++i) {
    if (node.operands[i].node == no_node || plan.storage(node.operands[i]).kind != StorageKind::fed) continue;
    const NodeId owner = plan.storage(node.operands[i]).owner.node;
    for (FedInput& input : inputs)
      if (input.node->id == owner) input.readers.push_back(&bound.in[i]);
  }
  // A random node of a micro-batch is cut by the batch, which lies outermost (its batch rule): its rows follow those of
  // the micro-batches before. Rows run over all axes but the last.
  if (plan.step.micro_batches > 1 && node.phase == Phase::micro && node.op->traits.random) {
    const Shape& shape = node.types.front().shape;
    bound.rows = 1;
    for (int axis = 0; axis + 1 < shape.rank(); ++axis) bound.rows *= shape.extent(axis);
  }
  if (const auto at = plan.workspaces.find(node.id); at != plan.workspaces.end())
    bound.workspace = arena.get() + plan.storages[at->second].offset;
}

void Program::Impl::check_feeds(std::span<const Feed> feeds) {
  for (FedInput& input : inputs) input.tensor = nullptr;
  for (const Feed& feed : feeds) {
    FedInput* found = nullptr;
    for (FedInput& input : inputs)
      if (input.node->name == feed.name) found = &input;
    if (found == nullptr) {
      if (std::ranges::find(plan.unread_inputs, feed.name) != plan.unread_inputs.end()) continue;
      std::string names;
      for (const FedInput& input : inputs) names += (names.empty() ? "" : ", ") + input.node->name;
      WEFT_FAIL("no input is named '{}'; this program reads: {}", feed.name, names.empty() ? "nothing" : names);
    }
    WEFT_CHECK(found->tensor == nullptr, "the input '{}' was fed twice", feed.name);
    WEFT_CHECK(!feed.tensor->empty(),
               "the input '{}' ({}) must be {}, it was fed no tensor: Tensor(), or one that was moved from", feed.name,
               str(found->node->where), found->node->types.front().str());
    const TensorType& type = found->node->types.front();
    const auto& extents = feed.tensor->extents();
    bool fits = feed.tensor->dtype() == type.dtype && feed.tensor->rank() == type.shape.rank();
    for (int axis = 0; fits && axis < type.shape.rank(); ++axis)
      fits = extents[static_cast<std::size_t>(axis)] == type.shape.extent(axis);
    WEFT_CHECK(fits, "the input '{}' ({}) must be {}, it was fed {}", feed.name, str(found->node->where), type.str(),
               feed.tensor->type_str());
    found->tensor = feed.tensor;
  }
  for (const FedInput& input : inputs)
    WEFT_CHECK(input.tensor != nullptr, "the input '{}' ({}) of {} was not fed; hint: run({{{{\"{}\", tensor}}, ...}})",
               input.node->name, str(input.node->where), input.node->types.front().str(), input.node->name);
}

void Program::Impl::run(std::size_t begin, std::size_t end, MicroBatch micro) {
  for (std::size_t i = begin; i < end; ++i) {
    BoundNode& bound = nodes[i];
    const RandomState random{store.seed(), static_cast<std::uint64_t>(store.runs()), micro.index * bound.rows};
    KernelContext context(bound.view->view, bound.in, bound.out, bound.workspace, random, micro);
    const auto start = times == nullptr ? Times::Clock::time_point{} : Times::Clock::now();
    try {
      user_rule("its kernel", [&] { bound.kernel(context); });
    } catch (const UserError& error) {
      const std::string part =
          micro.count == 1 ? "" : fmt::format(" (in micro-batch {} of {})", micro.index + 1, micro.count);
      WEFT_FAIL("{} ({}): [{}] {}{}", bound.node->name, str(bound.node->where), bound.node->op->name, error.what(),
                part);
    }
    if (times == nullptr) continue;
    const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
    if (times->taken[i] == 0) times->start[i] = seconds(start - times->begin);
    times->taken[i] += seconds(Times::Clock::now() - start);
  }
}

Program::Program(Plan plan, Store& store) : impl_(std::make_shared<Impl>(std::move(plan), store)) { impl_->bind(); }

Program::Program(const Step& step, Store& store, const PlanOptions& options)
    : Program(weft::plan(step, options), store) {}
Program::~Program() = default;
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;

Program::Impl& Program::impl() const {
  WEFT_CHECK(impl_ != nullptr, "this Program was moved from; hint: use the one it was moved to");
  return *impl_;
}

void Program::Impl::run(std::span<const Feed> feeds) {
  WEFT_CHECK(running.enter(true),
             "this Program is running; hint: one run at a time: another thread needs a Program of its own");
  const RunGuardHold alone(running);
  const RunGuardHold hold = store.enter(advances, advances ? "a run that trains or draws" : "a run");
  check_feeds(feeds);
  for (const FedInput& input : inputs)
    for (const std::byte** reader : input.readers) *reader = input.tensor->raw();
  const ThreadsScope team(plan.threads);
  const std::int64_t count = plan.step.micro_batches;
  run(0, micro_begin, {});
  for (std::int64_t i = 0; micro_begin < micro_end && i < count; ++i) run(micro_begin, micro_end, {i, count});
  run(micro_end, nodes.size(), {});
  for (const Copy& copy : copies) std::memcpy(copy.to, copy.from, copy.bytes);
  if (advances) store.set_runs(store.runs() + 1);
}

Result Program::run(std::span<const Feed> feeds) {
  impl().run(feeds);
  return Result(impl_);
}

Profile Program::profile(std::span<const Feed> feeds, const ProfileOptions& options) {
  WEFT_CHECK(options.runs >= 1, "a profile needs at least one run, got {}", options.runs);
  Impl& impl = this->impl();
  Profile profile;
  profile.threads = impl.plan.threads;
  const ThreadsScope team(profile.threads);
  profile.limit = options.limit.product_flops > 0 ? options.limit : measured_rates();
  for (std::size_t i = 0; i < impl.nodes.size(); ++i) {
    const Node& node = *impl.nodes[i].node;
    const bool is_micro = impl.micro_begin <= i && i < impl.micro_end;
    const int times = is_micro ? static_cast<int>(impl.plan.step.micro_batches) : 1;
    const Cost cost = cost_of(impl.nodes[i].view->view);
    profile.rows.push_back({.node = node.id,
                            .path = node.name,
                            .op = title_of(*node.op, node.attributes),
                            .type = node.types.front().str(),
                            .where = str(node.where),
                            .times = times,
                            .cost = {cost.flops * times, cost.bytes * times}});
  }
  for (int run = 0; run < options.runs; ++run) {
    Impl::Times times{Impl::Times::Clock::now(), std::vector<double>(impl.nodes.size()),
                      std::vector<double>(impl.nodes.size())};
    impl.times = &times;
    try {
      impl.run(feeds);
    } catch (...) {
      impl.times = nullptr;
      throw;
    }
    impl.times = nullptr;
    const double seconds = std::chrono::duration<double>(Impl::Times::Clock::now() - times.begin).count();
    profile.seconds = run == 0 ? seconds : std::min(profile.seconds, seconds);
    for (std::size_t i = 0; i < impl.nodes.size(); ++i) {
      ProfileRow& row = profile.rows[i];
      row.seconds = run == 0 ? times.taken[i] : std::min(row.seconds, times.taken[i]);
      row.start = times.start[i];
      row.last = times.taken[i];
    }
  }
  return profile;
}

const Plan& Program::plan() const { return impl().plan; }
Store& Program::store() const { return impl().store; }

std::size_t Program::allocated_bytes() const {
  std::size_t bytes = impl().plan.arena_bytes;
  for (const Tensor& constant : impl_->constants) bytes += aligned(constant.bytes());
  return bytes;
}

Result::Result(std::shared_ptr<Program::Impl> program) : program_(std::move(program)) {}

const Step& Result::step() const {
  WEFT_CHECK(program_ != nullptr, "this Result was moved from; hint: use the one it was moved to");
  return program_->plan.step;
}

Tensor Result::tensor(std::string_view name) const {
  const Value value = step().fetch(name);
  return {value.dtype(), value.shape().extents(), program_->bytes_of(value.ref()), program_};
}

Tensor Result::tensor(const Value& value) const {
  const Step& step = this->step();
  const Value here = step.find(value);
  for (const Fetch& fetch : step.fetches)
    if (fetch.value == here) return tensor(fetch.name);
  for (const Fetch& fetch : step.fetches) {  // a value of micro-batches is fetched as what gathers it
    const Node& node = fetch.value.node();
    if (node.op->traits.gathers && node.operands.front() == here.ref()) return tensor(fetch.name);
  }
  for (const Fetch& fetch : step.fetches)  // a copy of a parameter, a state or an input is fetched under its own name
    if (fetch.name == value.name()) return tensor(fetch.name);
  WEFT_FAIL("{} is not fetched by this program; hint: step | fetch(\"name\", value), or evaluation(loss, {{value}})",
            here.name());
}

double Result::scalar(std::string_view name) const { return tensor(name).item(); }
double Result::scalar(const Value& value) const { return tensor(value).item(); }
bool Result::has(std::string_view name) const { return step().has_fetch(name); }

Step fetching(const std::vector<Value>& values) {
  WEFT_CHECK(!values.empty(), "there is nothing to fetch: expected values, got none; hint: evaluate(value, feeds)");
  for (const Value& value : values)
    if (!value.absent()) value.graph().check();
  Step step;
  step.graph = values.front().graph();
  for (const Value& value : values) step.set_fetch(value.name(), value);
  return step;
}

std::vector<Tensor> evaluate(const std::vector<Value>& values, std::span<const Feed> feeds, std::uint64_t seed) {
  const Step step = fetching(values);
  Store store(step.graph, {.seed = seed});
  Program program(step, store);
  const Result result = program.run(feeds);
  std::vector<Tensor> tensors;
  for (const Value& value : values) tensors.push_back(result.tensor(value.name()).clone());
  return tensors;
}

Tensor evaluate(const Value& value, std::span<const Feed> feeds, std::uint64_t seed) {
  return evaluate(std::vector<Value>{value}, feeds, seed).front();
}

}  // namespace weft
