#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>

using namespace weft;

namespace {

Step fused(const Step& step) { return fuse(lower(step)); }

struct OneUpdate {
  Graph graph;
  Value p, m, v, g, rate, updates, finite;
  OneUpdate() {
    p = graph.parameter("p", {f32, {2, 3}}, init::normal(0, 1));
    m = graph.state("m", {f32, {2, 3}}, init::zeros());
    v = graph.state("v", {f32, {2, 3}}, init::zeros());
    g = graph.input("g", f32, {2, 3});
    rate = full(graph, {}, f64, 0.01);
    updates = graph.input("updates", i64, {});
    finite = graph.input("finite", boolean, {});
  }
  Step with(const Value& gradient) {
    const AdamwResult next = adamw_update(p, gradient, m, v, rate, updates, finite);
    return fetching({next.parameter, next.exp_avg, next.exp_avg_sq});
  }
};

std::int64_t count(const Step& step, const std::string& op) {
  return std::ranges::count_if(step.graph.ids(), [&](NodeId id) { return step.graph.node(id).op->name == op; });
}

}  // namespace

TEST_CASE("adamw takes over the product of its gradient and a scalar, on either side", "[core][ops][lowering]") {
  for (const bool left : {false, true}) {
    OneUpdate u;
    const Value f = u.graph.input("f", f32, {});
    const Step lowered = fused(u.with(left ? multiply(f, u.g) : multiply(u.g, f)));
    CHECK(count(lowered, "multiply") == 0);
    REQUIRE(count(lowered, "adamw") == 1);
    for (const NodeId id : lowered.graph.ids()) {
      const Node& node = lowered.graph.node(id);
      if (node.op->name != "adamw") continue;
      CHECK(node.operands[1] == lowered.find(u.g).ref());
      CHECK(node.operands[7] == lowered.find(f).ref());
    }
  }
}

TEST_CASE("of two factors in a row adamw takes the last", "[core][ops][lowering]") {
  OneUpdate u;
  const Value f = u.graph.input("f", f32, {}), e = u.graph.input("e", f32, {});
  CHECK(count(fused(u.with(u.g * e * f)), "multiply") == 1);
}

TEST_CASE("a product that somebody else reads, or of two tensors, stays", "[core][ops][lowering]") {
  OneUpdate u;
  const Value f = u.graph.input("f", f32, {});
  const Value scaled = u.g * f;
  Step step = u.with(scaled);
  SECTION("read by a node") { step.set_fetch("norm", sum_squares(scaled)); }
  SECTION("fetched") { step.set_fetch("gradient", scaled); }
  CHECK(count(fused(step), "multiply") == 1);
  OneUpdate other;
  CHECK(count(fused(other.with(other.g * other.g)), "multiply") == 1);
}
