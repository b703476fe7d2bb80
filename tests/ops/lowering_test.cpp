// Every lowering pass that ops bring keeps each bit of a training step, whatever it is combined with, for any number of
// threads, and takes no more memory but for workspaces.
#include <support/catch.h>

#include <weft/ops/fuse/matmul_epilogue.h>
#include <weft/weft.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

using namespace weft;

namespace {

struct Composition {
  const char* name;
  std::function<Step(const Step&)> made;
  std::function<Step(const Step&)> kept = nullptr;  ///< what keeps the bits, put behind: the passes have run before it
};

std::vector<Composition> compositions() {
  const auto finish = [](const Step& step) {
    return step | clip_global_norm(0.5) | optimize(adamw({.rate = 1e-2, .weight_decay = 0.1}));
  };
  const auto scaled = [] { return scale_loss(dynamic_scale({.start = 64, .window = 2, .greatest = 128})); };
  const auto every = [](const Step& step) { return step | checkpoint(every_block()); };
  return {{"clipped", finish},
          {"not clipped", [](const Step& step) { return step | optimize(adamw({.rate = 1e-2})); }},
          {"scaled", [=](const Step& step) { return finish(step | scaled()); }},
          {"accumulated", [=](const Step& step) { return finish(step | accumulate(2)); }},
          {"bf16", [=](const Step& step) { return finish(step | mixed_precision(bf16)); }},
          {"f16, scaled, accumulated",
           [=](const Step& step) { return finish(step | mixed_precision(f16) | scaled() | accumulate(2)); }},
          {"gradients fetched", [=](const Step& step) { return finish(step | fetch_gradients()); }},
          {"checkpointed", finish, every},
          {"accumulated, checkpointed", [=](const Step& step) { return finish(step | accumulate(2)); }, every}};
}

// Every cell and every fetch after some runs.
using Bytes = std::map<std::string, std::vector<std::byte>>;

Bytes after_runs(const Step& step, const PlanOptions& options) {
  const auto bytes_of = [](const Tensor& tensor) {
    return std::vector<std::byte>(tensor.raw(), tensor.raw() + tensor.bytes());
  };
  Store store(step, {.seed = 3});
  Program program(step, store, options);
  Tensor x(i32, {4, 128}), y(i32, {4, 128});
  Bytes bytes;
  for (std::int64_t run = 0; run < 3; ++run) {
    for (std::int64_t i = 0; i < x.size(); ++i) {
      x.data<std::int32_t>()[i] = static_cast<std::int32_t>((i * 7919 + run * 31) % 300);
      y.data<std::int32_t>()[i] = static_cast<std::int32_t>((i * 104729 + run * 17) % 300);
    }
    const Result result = program.run({{"tokens", x}, {"targets", y}});
    for (const Fetch& fetch : step.fetches)
      bytes[fmt::format("{} of run {}", fetch.name, run)] = bytes_of(result.tensor(fetch.name));
  }
  for (const auto& [path, cell] : store.cells()) bytes[path] = bytes_of(cell.tensor);
  return bytes;
}

std::vector<std::string> differing(const Bytes& a, const Bytes& b) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : a)
    if (!b.contains(name) || b.at(name) != bytes) names.push_back(name);
  return names;
}

Step gpt() {
  Graph graph;
  const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 128);
  const Value tokens = graph.input("tokens", i32, {batch, time}), targets = graph.input("targets", i32, {batch, time});
  const nn::Gpt model(graph, {.vocab = 300, .layers = 2, .heads = 2, .width = 96, .context = 128, .dropout = 0.1});
  return training_step(cross_entropy(model(tokens), targets));
}

// What the late rows of the table name, but for what is optional: that changes bits.
const std::vector<std::string>& passes() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> found;
    for (const LoweringRow& row : lowering_table())
      if (row.late && !row.name.empty() && row.name != "dead_code" && row.name != "attention_in_bf16")
        found.emplace_back(row.name);
    return found;
  }();
  return names;
}

}  // namespace

TEST_CASE("a step gives the same bits with and without each lowering pass, for 1 to 4 threads", "[ops][lowering]") {
  const int before = threads();
  const Step start = gpt();
  std::map<std::string, bool> ran;
  for (const Composition& composition : compositions()) {
    INFO(composition.name);
    const Step step = composition.made(start);
    PassReport report;
    fuse(lower(step, {}, &report), {}, &report);
    for (const PassReport::Line& line : report.lines) ran[line.name] |= line.changed;
    const Step whole = composition.kept ? composition.kept(step) : step;

    set_threads(1);
    const Bytes fused = after_runs(whole, {});
    for (const std::string& pass : passes()) {
      INFO(pass << " off");
      PlanOptions without;
      without.lowering.disabled = {pass};
      CHECK(differing(fused, after_runs(step, without)).empty());
    }
    for (int count = 2; count <= 4; ++count) {
      INFO(count << " threads");
      set_threads(count);
      CHECK(differing(fused, after_runs(whole, {})).empty());
    }
    set_threads(before);
  }
  for (const std::string& pass : passes()) {
    INFO(pass);
    CHECK(ran[pass]);
  }
}

// Products that are cut into many tiles, with all that an epilogue may hold behind them.
Step wide_layers() {
  Graph graph;
  const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 128);
  const Value tokens = graph.input("tokens", i32, {batch, time}), targets = graph.input("targets", i32, {batch, time});
  Value x = nn::Embedding(graph, "embedding", {.count = 300, .width = 256})(tokens);
  for (int i = 0; i < 2; ++i) {
    x = x + dropout(nn::Linear(graph, fmt::format("layer/{}", i), {.in = 256, .out = 256})(x), 0.2);
  }
  return training_step(cross_entropy(nn::Linear(graph, "head", {.in = 256, .out = 300})(x), targets));
}

TEST_CASE("a narrow product that its tile drops, widens and adds has the bits of the nodes one by one",
          "[core][ops][lowering]") {
  const int before = threads();
  for (const DType dtype : {bf16, f16}) {
    const Step step = wide_layers() | mixed_precision(dtype) | clip_global_norm(0.5) | optimize(adamw({.rate = 1e-2}));
    set_threads(1);
    const Bytes fused = after_runs(step, {});
    PlanOptions without;
    without.lowering.disabled = {"fuse_matmul_epilogue"};
    CHECK(differing(fused, after_runs(step, without)).empty());
    set_threads(3);
    CHECK(differing(fused, after_runs(step, {})).empty());
    set_threads(before);

    int residual = 0, gradient = 0;
    const Plan planned = plan(step);
    for (const NodeId id : planned.schedule) {
      const Node& node = planned.step.graph.node(id);
      if (node.op != &matmul_epilogue_op() || !node.attributes.flag("widen")) continue;
      residual += node.attributes.has("stream") && node.operands[2].node != no_node && node.operands.size() == 4;
      gradient += node.attributes.flag("transpose_a");
    }
    CHECK(residual == 2);
    CHECK(gradient == 3);
  }
}

TEST_CASE("a lowering pass takes no more memory than a workspace of its nodes", "[core][ops][lowering]") {
  const Step start = gpt();
  for (const Composition& composition : compositions()) {
    INFO(composition.name);
    const Step step = composition.made(start);
    const Plan fused = plan(step, {.threads = 2});
    std::size_t workspace = 0;
    for (const auto& [node, storage] : fused.workspaces) workspace = std::max(workspace, fused.storages[storage].bytes);
    for (const std::string& pass : passes()) {
      INFO(pass);
      CHECK(fused.arena_bytes <= plan(step, {.threads = 2, .lowering = {.disabled = {pass}}}).arena_bytes + workspace);
    }
  }
}

TEST_CASE("the table of lowering names every pass that weft's ops bring, and nothing else", "[core][ops][lowering]") {
  register_all();
  std::set<std::pair<std::string, bool>> brought, named;
  for (const OpDef* op : registry().all())
    for (const Pass* pass : op->lowerings) brought.insert({pass->name, pass->late});
  for (const LoweringRow& row : lowering_table())
    if (row.run == nullptr && !row.name.empty()) CHECK(named.insert({std::string(row.name), row.late}).second);
  CHECK(brought == named);
}

TEST_CASE("the table in docs/lowering.md is the table of lowering", "[core][ops][lowering]") {
  std::ifstream file(WEFT_TESTS_DIR "/../docs/lowering.md");
  std::vector<std::string> documented, expected;
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("| `lower` |") || line.starts_with("| `fuse` |")) documented.push_back(line);
  for (const LoweringRow& row : lowering_table())
    expected.push_back(fmt::format("| `{}` | {} | {} |", row.late ? "fuse" : "lower",
                                   row.name.empty() ? "*others*" : fmt::format("`{}`", row.name), row.reason));
  CHECK(documented == expected);
}

TEST_CASE("passes that a user's op brings run at their place in the table, by order and name",
          "[core][ops][lowering]") {
  const auto nothing = [](const Step& step) { return step; };
  static const Pass third{.name = "a_third", .run = nothing, .order = 1}, first{.name = "b_first", .run = nothing},
      second{.name = "c_second", .run = nothing}, late{.name = "d_late", .run = nothing, .late = true},
      asked{.name = "e_asked", .run = nothing, .late = true, .optional = true};
  static const OpDef op{.name = "brings_passes",
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .traits = {.pointwise = true},
                        .lowerings = {&third, &first, &late, &second, &asked},
                        .kernels = {{.run = [](KernelContext& context) {
                          std::copy_n(context.in<float>(0), context.type(0).count(), context.out<float>(0));
                        }}}};
  Graph graph;
  const Step step = fetching({graph.apply(op, {graph.input("x", f32, {3})})[0]});
  const auto ran = [&](const PassOptions& options) {
    PassReport report;
    fuse(lower(step, options, &report), options, &report);
    std::vector<std::string> names;
    for (const PassReport::Line& line : report.lines) names.push_back(line.name + (line.disabled ? " off" : ""));
    return names;
  };
  CHECK(ran({}) == std::vector<std::string>{"fold_constants", "common_subexpressions", "b_first", "c_second", "a_third",
                                            "isolate_updates", "dead_code", "d_late", "row_regions", "dead_code"});
  CHECK(ran({.disabled = {"c_second"}, .enabled = {"e_asked"}}) ==
        std::vector<std::string>{"fold_constants", "common_subexpressions", "b_first", "c_second off", "a_third",
                                 "isolate_updates", "dead_code", "d_late", "e_asked", "row_regions", "dead_code"});
}
