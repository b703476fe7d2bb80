// fuse_addend: a sum becomes an operand of the op that makes one of its sides.
#include <support/catch.h>

#include <weft/inspect/op/sample_run.h>
#include <weft/weft.h>

#include <cmath>
#include <vector>

using namespace weft;

namespace {

const PlanOptions without{.lowering = {.disabled = {"fuse_addend"}}};

int count(const Step& planned, const OpDef& op) {
  int found = 0;
  for (const NodeId id : planned.graph.ids()) found += planned.graph.node(id).op == &op ? 1 : 0;
  return found;
}

std::vector<Tensor> fetched(const Step& step, const std::vector<Feed>& feeds, const PlanOptions& options) {
  Store store(step);
  Program program(step, store, options);
  const Result result = program.run(feeds);
  std::vector<Tensor> tensors;
  for (const Fetch& fetch : step.fetches) tensors.push_back(result.tensor(fetch.name).clone());
  return tensors;
}

// Two gradients of one table, by what its rows are read for.
struct Tables {
  Graph graph;
  Value ids = graph.input("ids", i64, {4}), d_y = graph.input("d_y", f32, {4, 3}), x = graph.input("x", f32, {5, 3});
  Value gradient(const Value& cotangent) {
    return graph.apply(embedding_backward_op(), {cotangent, ids}, {{"rows", Shape{5}}})[0];
  }
};

}  // namespace

TEST_CASE("an op that declares an addend gives the bits of the sum, for every type", "[core][ops]") {
  register_all();
  int ops = 0;
  for (const OpDef* op : registry().all()) {
    if (op->addend < 0) continue;
    ++ops;
    const auto at = static_cast<std::size_t>(op->addend);
    for (std::size_t i = 0; i < op->samples.size(); ++i)
      for (const DType dtype : {f32, f64, bf16, f16}) {
        CAPTURE(op->name, i, name_of(dtype));
        const SampleRun run(*op, op->samples[i], dtype);
        if (!run.supported() || (run.operands().size() > at && !run.operands()[at].absent())) continue;
        Graph graph;
        // Made before the op, which may have several outputs.
        const Value first = run.outputs()[0], x = graph.input("addend", first.dtype(), first.shape());
        Values operands;
        std::size_t fed = 0;
        for (const Value& operand : run.operands())
          operands.push_back(operand.absent() ? Value{}
                                              : graph.input(run.names()[fed++], operand.dtype(), operand.shape()));
        std::vector<Value> outputs = graph.apply(*op, operands, first.node().attributes);
        const Value y = outputs[0];
        Tensor numbers(f64, y.shape().extents());
        for (std::int64_t n = 0; n < numbers.size(); ++n)
          numbers.data<double>()[n] = std::sin(static_cast<double>(n * n + 1));
        const Tensor added = numbers.cast(y.dtype());
        std::vector<Feed> feeds = run.feeds();
        feeds.emplace_back("addend", added);

        outputs[0] = x + y;
        const Step step = fetching(outputs);
        CHECK(plan(step).step.find(outputs[0]).node().op == op);
        CHECK(plan(step).step.find(outputs[0]).node().operands.size() > at);
        const std::vector<Tensor> fused = fetched(step, feeds, {}), apart = fetched(step, feeds, without);
        for (std::size_t k = 0; k < fused.size(); ++k) CHECK(same_bits(fused[k], apart[k]));
      }
  }
  CHECK(ops >= 3);
}

TEST_CASE("of two values that may take an addend the later one takes the earlier", "[core][ops]") {
  Tables t;
  const Value first = t.gradient(t.d_y), second = t.gradient(t.d_y * 2.0);
  for (const Value& sum : {first + second, second + first}) {
    const Plan planned = plan(fetching({sum}));
    CHECK(count(planned.step, add_op()) == 0);
    CHECK(planned.step.find(sum).node().operands.size() == 3);
    CHECK(planned.step.find(sum).node().operands[2] == planned.step.find(first).ref());
  }
}

TEST_CASE("an op of one output moves to a sum with a value that is made after it, one of several stays apart",
          "[core][ops]") {
  Tables t;
  const Value table = t.gradient(t.d_y), late = relu(t.x);
  CHECK(count(plan(fetching({table + late})).step, embedding_backward_op()) == 1);
  CHECK(count(plan(fetching({table + late})).step, add_op()) == 0);

  Graph graph;
  const Value d_y = graph.input("d_y", f32, {3, 5}), x = graph.input("x", f32, {3, 5}),
              rstd = graph.input("rstd", f32, {3, 1});
  const auto gradient = [&] { return graph.apply(rms_norm_backward_op(), {d_y, x, rstd})[0]; };
  const Value early = matmul(x, x, {.transpose_b = true}), before = matmul(early, x);
  const Value norm = gradient(), after = matmul(matmul(d_y, x, {.transpose_b = true}), x);
  CHECK(plan(fetching({before + norm}), without).step.find(norm).node().operands.size() == 3);
  CHECK(plan(fetching({before + norm})).step.find(norm).node().operands.size() == 5);
  CHECK(plan(fetching({after + norm})).step.find(norm).node().operands.size() == 3);
}

TEST_CASE("a value that somebody else reads, or that has an addend, takes none", "[core][ops]") {
  Tables t;
  const Value table = t.gradient(t.d_y);
  CHECK(plan(fetching({t.x + table, table})).step.find(table).node().operands.size() == 2);
  const Value sum = t.graph.apply(embedding_backward_op(), {t.d_y, t.ids, t.x}, {{"rows", Shape{5}}})[0];
  const Plan planned = plan(fetching({relu(t.x) + sum}));
  CHECK(planned.step.find(sum).node().operands[2] == planned.step.find(t.x).ref());
}
