// Regions of pointwise and row-wise nodes: the same bits as node by node, in fewer bytes.
#include <support/catch.h>

#include <equivalence/models.h>
#include <weft/runtime/region/region.h>
#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

using namespace weft;

namespace {

PlanOptions without(int threads = 1) { return {.threads = threads, .lowering = {.disabled = {"row_regions"}}}; }

std::vector<const Node*> regions_of(const Plan& plan) {
  std::vector<const Node*> regions;
  for (NodeId id : plan.schedule)
    if (plan.step.graph.node(id).op == &row_region_op()) regions.push_back(&plan.step.graph.node(id));
  return regions;
}

std::string titles(const Plan& plan) {
  std::string text;
  for (const Node* node : regions_of(plan)) text += (text.empty() ? "" : "; ") + title_of(*node->op, node->attributes);
  return text;
}

// All that `runs` runs give and leave in the store, as bytes.
std::string bytes_of(const Step& step, const PlanOptions& options, int runs = 1,
                     const EquivalenceOptions& feeding = {}) {
  const Plan planned = plan(step, options);
  check_plan(planned);
  Store store(step, {.seed = 5});
  Program program(planned, store);
  std::string bytes;
  const auto add = [&](const Tensor& tensor) {
    bytes.append(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes());
  };
  for (std::int64_t run = 0; run < runs; ++run) {
    const NamedTensors tensors =
        feeding.feeds
            ? feeding.feeds(run)
            : random_feeds(step.graph, run, {.seed = 9, .integers = feeding.integers, .padding = feeding.padding});
    const std::vector<Feed> feeds = feeds_of(tensors);
    const Result result = program.run(feeds);
    for (const Fetch& fetch : step.fetches) add(result.tensor(fetch.name));
  }
  for (const Update& update : step.updates) add(store.tensor(update.state.name()));
  return bytes;
}

// The same bits with regions, by any number of threads, as without.
void check_same_bits(const Step& step, int runs = 1, const EquivalenceOptions& feeding = {}) {
  const std::string expected = bytes_of(step, without(), runs, feeding);
  for (int threads = 1; threads <= 4; ++threads) {
    INFO(threads << " threads, " << titles(plan(step)));
    CHECK(bytes_of(step, {.threads = threads}, runs, feeding) == expected);
  }
}

Step with_fetches(const std::vector<Value>& values) {
  Step step = fetching({values.front()});
  step.fetches.clear();
  for (const Value& value : values) step.fetches.push_back({fmt::format("v{}", step.fetches.size()), value});
  return step;
}

// y = 2 x + 1, known by its trait alone.
template <class T>
void twice_plus_one(KernelContext& context) {
  for (std::int64_t i = 0; i < context.out_type(0).count(); ++i)
    context.out<T>(0)[i] = context.in<T>(0)[i] * T(2) + T(1);
}
std::vector<BatchState> batch_of_first(const OpView& view, std::span<const BatchState> in) {
  return std::vector<BatchState>(view.out.size(), in[0]);
}
const OpDef& twice_plus_one_op() {
  static const OpDef op{.name = "twice_plus_one",
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .batch = batch_of_first,
                        .traits = {.pointwise = true},
                        .kernels = {{.dtype = f32, .run = twice_plus_one<float>}}};
  return op;
}

// The same with a shape rule that takes the whole tensor alone.
const OpDef& only_whole_op() {
  static const OpDef op{.name = "only_whole",
                        .infer =
                            [](const OpView& view) {
                              WEFT_CHECK(view.shape(0) == view.attributes.shape("shape"), "not {}",
                                         view.shape(0).str());
                              return std::vector{view.type(0)};
                            },
                        .batch = batch_of_first,
                        .traits = {.pointwise = true},
                        .kernels = {{.dtype = f32, .run = twice_plus_one<float>}}};
  return op;
}

// Refuses to run.
const OpDef& refusing_op() {
  static const OpDef op{.name = "refusing",
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .batch = batch_of_first,
                        .traits = {.pointwise = true},
                        .kernels = {{.dtype = f32, .run = [](KernelContext&) { WEFT_FAIL("no {}", "thanks"); }}}};
  return op;
}

struct Block {
  Graph graph;
  Value x, branch, bias, weight, sum, y;
  explicit Block(DType dtype = f32, std::int64_t rows = 70, std::int64_t width = 33) {
    const Dim batch = graph.dim("batch", rows);
    x = graph.input("x", dtype, {batch, 3, width});
    branch = graph.input("branch", dtype, {batch, 3, width});
    bias = graph.input("bias", dtype, {width});
    weight = graph.input("weight", dtype, {width});
    sum = x + dropout(branch + bias, 0.3);
    y = layer_norm(sum, weight, bias);
  }
};

}  // namespace

TEST_CASE("a residual branch and its layer norm are one node, whose inner values take no memory", "[core][runtime]") {
  const Block block;
  const Step step = with_fetches({block.sum, block.y});
  const Plan planned = plan(step), apart = plan(step, without());
  CHECK(titles(planned) == "add + dropout + add + layer_norm");
  CHECK(planned.schedule.size() == 1);
  CHECK(apart.schedule.size() == 4);
  CHECK(planned.storage_of.size() == 6);  // four inputs, what is fetched
  CHECK(apart.storage_of.size() == 10);
  CHECK_THAT(str(planned.step),
             ContainsSubstring("v1 = dropout(v0)") && ContainsSubstring("v3, v4, v5 = layer_norm(v2, x3, x1)"));
  CHECK_THAT(dot(planned.step), ContainsSubstring("add + dropout + add + layer_norm"));
  CHECK_THAT(planned.passes.str(), ContainsSubstring("row_regions"));
}

TEST_CASE("regions give the same bits as their members, for every type and number of threads", "[core][runtime]") {
  for (DType dtype : {f32, f64, bf16, f16})
    for (std::int64_t rows : {1, 7, 70}) {
      INFO(name_of(dtype) << " " << rows);
      const Block block(dtype, rows);
      check_same_bits(with_fetches({block.y}));
      check_same_bits(with_fetches({block.y, block.sum}));
    }
  const Block wide(f32, 2, 70001);  // rows that are summed in pieces
  check_same_bits(with_fetches({wide.y}));
}

TEST_CASE("statistics of rows, softmax and broadcasting along leading axes lie in a region", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {6, 50, 40}), table = graph.input("table", f32, {50, 40}),
              mask = graph.input("mask", boolean, {50, 40}), scale = graph.input("scale", f32, {6, 50, 1}),
              factor = graph.input("factor", f32, {});
  const Value shifted = where(mask, (x + table) * scale, -1e9);
  const Value p = softmax(shifted * factor, -1);
  const Value rstd = rsqrt(mean(square(p), {.axes = {-1}, .keep = true}) + 1e-6);
  const Value y = rms_norm(p * rstd + log_softmax(shifted, -1), Value{});
  const Value total = sum(y, {.axes = {-1}}), highest = max(y * y, {.axes = {2}});
  const Step step = with_fetches({y, total, highest, rstd});
  CHECK(regions_of(plan(step)).size() == 1);
  CHECK(plan(step).schedule.size() == 1 + 2);  // -1e9, 1e-6
  check_same_bits(step);
}

TEST_CASE("pointwise chains without rows are cut anywhere", "[core][runtime]") {
  for (const auto& extents : {std::vector<std::int64_t>{300001}, {3, 100003}, {100003, 3}, {100000, 1}, {2, 3, 5}}) {
    Graph graph;
    const Shape shape{std::span<const std::int64_t>(extents)};
    const Value x = graph.input("x", f32, shape), y = graph.input("y", f32, shape),
                row = graph.input("row", f32, {shape[-1]});
    const Value flat = tanh(x * 2.0 + y) * exp(-abs(x));
    const Value broad = minimum(sigmoid(x + row), y) * cast(greater(x, y), f32);
    const Step step = with_fetches({flat, broad, x - y});
    INFO(shape.str());
    CHECK(regions_of(plan(step)).size() >= 1);
    check_same_bits(step);
  }
}

TEST_CASE("a user's pointwise op takes part through nothing but its trait", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {40, 300});
  const Value y = graph.apply(twice_plus_one_op(), {x * 3.0}).front() - x;
  const Step step = with_fetches({y});
  CHECK(titles(plan(step)) == "multiply + twice_plus_one + subtract");
  check_same_bits(step);
  // One whose shape rule refuses a block runs by itself.
  const Value whole = graph.apply(only_whole_op(), {x * 3.0}, {{"shape", Shape{40, 300}}}).front() - x;
  CHECK(titles(plan(with_fetches({whole}))).empty());
  check_same_bits(with_fetches({whole}));
}

TEST_CASE("an error of a member names the member and its line", "[core][runtime][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {40, 300});
  const Step step = with_fetches({graph.apply(refusing_op(), {x * 3.0}).front() + x});
  Store store(graph);
  Program program(step, store, {.threads = 2});
  const Tensor fed(f32, {40, 300});
  CHECK_THROWS_WITH(program.run({{"x", fed}}),
                    ContainsSubstring("'refusing' (region_test.cpp:") && ContainsSubstring("[refusing] no thanks"));
}

TEST_CASE("what a profile shows of a region are its members", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {40, 300}), y = graph.input("y", f32, {40, 300});
  const Step step = with_fetches({layer_norm(x + y, Value{}, Value{})});
  Store store(graph);
  Program program(step, store);
  const Tensor fed(f32, {40, 300});
  const Profile profile = program.profile({{"x", fed}, {"y", fed}}, {.limit = {.product_flops = 1e10, .bytes = 1e10}});
  REQUIRE(profile.rows.size() == 1);
  CHECK(profile.rows[0].op == "add + layer_norm");
  CHECK(profile.rows[0].cost.bytes == 3 * 40 * 300 * 4);
  CHECK(profile.rows[0].cost.flops == 2 * 40 * 300 + 2 * 40);
}

TEST_CASE("nothing is dragged into another segment, over a dear node, or round a circle", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {40, 40});
  const Value a = exp(x), product = matmul(a, a);
  // a is read by the product on which the sum waits: one node of both would wait for itself.
  const Step circle = with_fetches({a + product});
  CHECK(titles(plan(circle)).empty());
  check_same_bits(circle);
  // A mask of bytes made early: made late instead, two tensors of floats would live as long.
  const Value u = matmul(x, x), v = matmul(u, x), mask = greater(u, v);
  const Step early = with_fetches({where(mask, matmul(matmul(v, x), v), 0.0)});
  for (const Node* node : regions_of(plan(early)))
    CHECK(title_of(*node->op, node->attributes).find("greater") == std::string::npos);
  CHECK(plan(early).arena_bytes <= plan(early, without()).arena_bytes);
  check_same_bits(early);
}

TEST_CASE("a region writes over operands that die in it, and over states", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {64, 64});
  const Value made = matmul(x, x), more = matmul(made, x);
  const Value curve = tanh(made);
  const Value y = rms_norm(curve + more * 2.0, Value{});
  const Step step = with_fetches({matmul(y, y)});
  const Plan planned = plan(step);
  CHECK(titles(planned) == "tanh + multiply + add + rms_norm");
  CHECK(planned.arena_bytes <= plan(step, without()).arena_bytes + 2 * row_region_bytes);
  const Node& region = *regions_of(planned).front();
  CHECK((planned.storage_of.at({region.id, 0}) == planned.storage_of.at(region.operands[0]) ||
         planned.storage_of.at({region.id, 0}) == planned.storage_of.at(region.operands[1])));
  check_same_bits(step);

  Graph trained;
  const Value w = trained.parameter("w", {f32, {64, 64}}, init::normal(0, 1));
  const Value velocity = trained.state("velocity", {f32, {64, 64}}, init::zeros());
  const Value fed = trained.input("x", f32, {64, 64});
  const Value next = velocity * 0.9 + sin(w * fed);
  trained.update(velocity, next);
  trained.update(w, w - next * 0.1);
  Step momentum = fetching({sum(fed)});
  momentum.take_updates();
  CHECK(regions_of(plan(momentum)).size() == 1);
  CHECK(plan(momentum).copies.empty());
  check_same_bits(momentum, 3);
}

TEST_CASE("empty tensors and single numbers stay out of regions", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {0, 5}), y = graph.input("y", f32, {5, 0}), z = graph.input("z", f32, {});
  const Step step = with_fetches({exp(x) + x, sum(exp(y) * y, {.axes = {1}}), exp(z) * z});
  CHECK(titles(plan(step)).empty());
  check_same_bits(step);
}

TEST_CASE("dropout in a region draws by the row of the full batch", "[core][runtime]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 12);
  const Value x = graph.input("x", f32, {batch, 7, 16}), target = graph.input("target", f32, {batch, 7, 16});
  const nn::Linear layer(graph, "layer", {.in = 16, .out = 16});
  const Value y = layer_norm(x + dropout(gelu(layer(x)), 0.25), Value{}, Value{});
  const Step whole = training_step(mse_loss(y, target)) | optimize(sgd({.rate = 0.1}));
  const Step parts = training_step(mse_loss(y, target)) | accumulate(4) | optimize(sgd({.rate = 0.1}));
  CHECK_THAT(titles(plan(parts)), ContainsSubstring("dropout + add + layer_norm"));
  check_same_bits(whole, 3);
  check_same_bits(parts, 3);
}

TEST_CASE("steps of all models give the same bits with regions", "[runtime]") {
  for (const test::ProofModel& model : test::proof_models()) {
    INFO(model.name);
    const Step step = training_step(model.loss);
    const std::vector<Step> chains{step | optimize(adamw({.rate = 1e-2})),
                                   step | mixed_precision(bf16) | scale_loss(dynamic_scale()) | accumulate(3) |
                                       clip_global_norm(0.5) | optimize(sgd({.rate = 0.1, .momentum = 0.9})),
                                   step | optimize(adamw({.rate = 1e-2})) | checkpoint(every_block())};
    for (const Step& chain : chains) {
      check_same_bits(chain, model.options.runs, model.options);
      CHECK(plan(chain).arena_bytes <= plan(chain, without()).arena_bytes + row_region_bytes);
    }
  }
}

namespace {

// A graph of 12 to 40 nodes over [rows, width], drawn at random.
Step random_step(unsigned seed) {
  std::mt19937 random(seed);
  const auto draw = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  Graph graph;
  const Shape shape = draw(2) == 0 ? Shape{draw(4) + 1, draw(40) + 1, draw(90) + 1}
                                   : Shape{draw(150) + 1, draw(3) == 0 ? 3000 : draw(70) + 1};
  const DType dtype = std::array{f32, f32, f64, bf16, f16}[static_cast<std::size_t>(draw(5))];
  Shape column = shape, table = shape;
  column[-1] = 1;
  table[0] = 1;
  const Value row = graph.input("row", dtype, {shape[-1]}), by_row = graph.input("by_row", dtype, column),
              cycles = graph.input("cycles", dtype, table), number = graph.input("number", dtype, {});
  std::vector<Value> full{graph.input("x", dtype, shape), graph.input("y", dtype, shape)};
  std::vector<Value> columns{by_row}, all;
  const int count = 12 + draw(28);
  for (int i = 0; i < count; ++i) {
    const Value a =
        full[full.size() - 1 - static_cast<std::size_t>(draw(static_cast<int>(std::min<std::size_t>(4, full.size()))))];
    const Value b = full[static_cast<std::size_t>(draw(static_cast<int>(full.size())))];
    const Value c = columns[static_cast<std::size_t>(draw(static_cast<int>(columns.size())))];
    switch (draw(17)) {
      case 0:
        full.push_back(a + b);
        break;
      case 1:
        full.push_back(a * row);
        break;
      case 2:
        full.push_back(a - c);
        break;
      case 3:
        full.push_back(maximum(a, cycles));
        break;
      case 4:
        full.push_back(tanh(a));
        break;
      case 5:
        full.push_back(where(greater(a, b), a, b));
        break;
      case 6:
        full.push_back(gelu(a) * number);
        break;
      case 7:
        full.push_back(layer_norm(a, row, Value{}));
        break;
      case 8:
        full.push_back(rms_norm(a, Value{}));
        break;
      case 9:
        full.push_back(softmax(a, -1));
        break;
      case 10:
        full.push_back(cast(cast(a, f32) + 1.0, dtype));
        break;
      case 11:
        columns.push_back(mean(a, {.axes = {-1}, .keep = true}));
        break;
      case 12:
        columns.push_back(sigmoid(c) + 0.5);
        break;
      case 13:
        all.push_back(sum(a, {.axes = {shape.rank() - 1}}));
        break;
      case 14:
        full.push_back(dropout(a, 0.2));
        break;
      case 15:
        full.push_back(gated(a, b, "silu"));
        break;
      default:
        full.push_back(sum(a, {.axes = {0}, .keep = true}) + b);
        break;
    }
  }
  std::vector<Value> fetched{full.back()};
  for (const auto* values : {&full, &columns, &all})
    for (const Value& value : *values)
      if (!value.node().op->traits.source && draw(6) == 0) fetched.push_back(value);
  if (!all.empty()) fetched.push_back(all.back());
  return with_fetches(fetched);
}

}  // namespace

TEST_CASE("random graphs give the same bits with regions", "[runtime]") {
  std::size_t regions = 0, joined = 0;
  for (unsigned seed = 0; seed < 150; ++seed) {
    INFO("seed " << seed);
    const Step step = random_step(seed);
    const Plan planned = plan(step);
    regions += regions_of(planned).size();
    joined += plan(step, without()).schedule.size() - planned.schedule.size();
    check_same_bits(step);
  }
  CHECK(regions > 150);
  CHECK(joined > 1500);
}
