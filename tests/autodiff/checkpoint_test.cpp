#include <autodiff/checkpoint_models.h>
#include <support/catch.h>

#include <weft/runtime/simd/tile.h>

#include <algorithm>
#include <set>

using namespace weft;
using namespace checkpoint_models;

namespace {

// Values of the forward pass that the backward pass or a clone reads from the forward pass itself.
std::vector<std::string> kept_values(const Step& step) {
  std::set<NodeId> late;  // made from the seeds
  for (const Value& seed : step.seeds) late.insert(seed.ref().node);
  std::set<std::string> kept;
  for (NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (std::ranges::any_of(step.seeds, [&](const Value& seed) { return seed.ref().node == id; })) continue;
    bool is_late = late.contains(id) || node.provenance.pass == "checkpoint";
    for (ValueRef ref : node.operands) is_late |= ref.node != no_node && late.contains(ref.node);
    if (!is_late) continue;
    if (node.provenance.pass != "checkpoint") late.insert(id);
    for (ValueRef ref : node.operands) {
      if (ref.node == no_node || late.contains(ref.node)) continue;
      while (step.graph.node(ref.node).op->traits.view) ref = step.graph.node(ref.node).operands.front();
      const Node& read = step.graph.node(ref.node);
      if (!read.op->traits.source && read.provenance.pass != "checkpoint" && read.phase == Phase::micro)
        kept.insert(read.name);
    }
  }
  return {kept.begin(), kept.end()};
}

}  // namespace

TEST_CASE("every way to checkpoint gives the same bits as none, dropout on, on one thread and two",
          "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step step = training_step(gpt.loss) | clip_global_norm(0.5);
  const Step plain = fetching_gradients(step) | optimize(adamw({.rate = 0.01}));
  const Bits expected = run(plain, gpt.feeds(), 1);
  const std::vector<Transform> ways{checkpoint(nothing_saveable()),
                                    checkpoint(everything_saveable()),
                                    checkpoint(dots_saveable()),
                                    checkpoint(dots_with_no_batch_dims_saveable()),
                                    checkpoint(every_block()),
                                    checkpoint(every_block({.every = 2})),
                                    checkpoint(save_only_these_names({"decoder/*/add*"})),
                                    checkpoint({.save = {"decoder/1/**", gpt.logits}}),
                                    checkpoint({.recompute = {"**/attention/**", "**/dropout*"}})};
  for (const Transform& way : ways) {
    const Step again = plain | way;
    for (int threads : {1, 2}) CHECK(first_difference(expected, run(again, gpt.feeds(), threads)).empty());
  }
}

TEST_CASE("checkpoint before clip and optimize gives the same bits as after them", "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Bits expected = run(gpt.step(), gpt.feeds(), 2);
  const Step early =
      training_step(gpt.loss) | checkpoint(every_block()) | clip_global_norm(0.5) | optimize(adamw({.rate = 0.01}));
  const Step between =
      training_step(gpt.loss) | clip_global_norm(0.5) | checkpoint(every_block()) | optimize(adamw({.rate = 0.01}));
  CHECK_FALSE(clones(early).empty());
  CHECK(first_difference(expected, run(early, gpt.feeds(), 2)).empty());
  CHECK(first_difference(expected, run(between, gpt.feeds(), 2)).empty());
}

TEST_CASE("nothing_saveable runs every node of the forward pass again that the backward pass reads, each once",
          "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step step = gpt.step() | checkpoint(nothing_saveable());
  std::set<NodeId> origins;
  for (const Node* node : clones(step)) CHECK(origins.insert(node->provenance.origin).second);
  CHECK(clones_of(step, "attention") == 3);
  CHECK(clones_of(step, "layer_norm") == 7);
  CHECK(clones_of(step, "embedding") == 1);
  CHECK(kept_values(step).empty());
}

TEST_CASE("everything_saveable adds no node", "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step step = gpt.step();
  const Step same = step | checkpoint(everything_saveable());
  CHECK(clones(same).empty());
  CHECK(plan(same).total_bytes() == plan(step).total_bytes());
}

TEST_CASE("dots_saveable keeps products and attention and runs the rest again", "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step step = gpt.step() | checkpoint(dots_saveable());
  CHECK(clones_of(step, "layer_norm") == 7);
  CHECK(clones_of(step, "linear") == 0);
  CHECK(clones_of(step, "attention") == 0);
  CHECK(clones_of(step, "feed_forward") == 0);
  CHECK(clones_of(step, "dropout") > 0);
}

TEST_CASE("dots_with_no_batch_dims_saveable runs attention again, which multiplies activations",
          "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step step = gpt.step() | checkpoint(dots_with_no_batch_dims_saveable());
  CHECK(clones_of(step, "attention") == 3);
  CHECK(clones_of(step, "linear") == 0);
  CHECK(clones_of(step, "feed_forward") == 0);
}

TEST_CASE("what is picked by name or by handle is kept, and only that", "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step step = gpt.step();
  const std::vector<std::string> kept = kept_values(step | checkpoint({.save = {"decoder/0/add", gpt.logits}}));
  CHECK(kept == std::vector<std::string>{"decoder/0/add", gpt.logits.name()});
  CHECK(kept_values(step | checkpoint(save_only_these_names({"decoder/0/add", gpt.logits.name()}))) == kept);
  const Step again = step | checkpoint({.recompute = {"decoder/1/feed_forward/*"}});
  REQUIRE(clones(again).size() == 1);
  CHECK(clones(again).front()->op->name == "feed_forward");
}

TEST_CASE("every_block keeps the residual stream and what follows the last block", "[core][autodiff][checkpoint]") {
  const Gpt gpt(3, 0.1);
  const Step step = gpt.step() | checkpoint(every_block());
  std::vector<std::string> kept = kept_values(step);
  std::erase_if(kept, [](const std::string& name) { return !name.starts_with("decoder/"); });
  CHECK(kept == std::vector<std::string>{"decoder/0/add", "decoder/0/add_1", "decoder/1/add", "decoder/1/add_1",
                                         "decoder/2/add", "decoder/2/add_1"});
  for (const Node* node : clones(step)) CHECK_FALSE(node->name.starts_with("head/"));
  CHECK(clones_of(step, "feed_forward") == 3);
  std::set<NodeId> origins;  // one clone a block
  for (const Node* node : clones(step)) CHECK(origins.insert(node->provenance.origin).second);

  kept = kept_values(gpt.step() | checkpoint(every_block({.every = 2})));
  std::erase_if(kept, [](const std::string& name) { return !name.starts_with("decoder/"); });
  CHECK(kept == std::vector<std::string>{"decoder/0/add_1", "decoder/1/add_1", "decoder/2/add_1"});
}

TEST_CASE("a clone has its original's attributes, phase and line, and stands before its first reader",
          "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step before = gpt.step();
  const Step step = before | checkpoint(every_block());
  std::size_t random = 0;
  for (const Node* node : clones(step)) {
    const Node& origin = before.graph.node(node->provenance.origin);
    CHECK(node->op == origin.op);
    for (const auto& [name, value] : origin.attributes) CHECK(same(*node->attributes.find(name), value));
    CHECK(node->phase == origin.phase);
    CHECK(str(node->where) == str(origin.where));
    CHECK_THAT(node->name, ContainsSubstring("recomputed/"));
    random += node->op->traits.random;
  }
  CHECK(random > 0);
}

TEST_CASE("checkpoint after accumulate clones micro nodes and gives the same bits", "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step step = training_step(gpt.loss) | accumulate(2) | clip_global_norm(0.5) | optimize(adamw({.rate = 0.01}));
  const Bits expected = run(step, gpt.feeds(), 1);
  for (const Transform& way :
       {checkpoint(every_block()), checkpoint(dots_saveable()), checkpoint(nothing_saveable())}) {
    const Step again = step | way;
    CHECK_FALSE(clones(again).empty());
    for (const Node* node : clones(again)) CHECK(node->phase == Phase::micro);
    CHECK(first_difference(expected, run(again, gpt.feeds(), 2)).empty());
    CHECK(plan(again).arena_bytes <= plan(step).arena_bytes);  // gradients may be the peak
  }
  const auto budget = static_cast<std::int64_t>(plan(step, {.threads = 2}).total_bytes() * 9 / 10);
  const Step fitted = step | checkpoint({.budget = budget, .threads = 2});
  CHECK(plan(fitted, {.threads = 2}).total_bytes() <= static_cast<std::size_t>(budget));
  CHECK(first_difference(expected, run(fitted, gpt.feeds(), 2)).empty());
}

TEST_CASE("a feed-forward that runs again for its hidden values leaves out its second product, to the same bits",
          "[core][autodiff][checkpoint]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 40), 16});
  auto weight = [&](const std::string& name, std::int64_t rows, std::int64_t columns) {
    return graph.parameter(name, {f32, {rows, columns}}, init::normal(0, 0.3));
  };
  const Value h = linear(x, weight("in", 16, 16));
  const Value y = h + feed_forward(h, weight("up", 64, 16), weight("down", 16, 64), {.activation = "gelu"});
  const Value z = gated_feed_forward(y, weight("up2", 64, 16), weight("gate", 64, 16), weight("down2", 16, 64),
                                     {.activation = "silu"});
  const Step step = training_step(Loss(sum(z * z))) | optimize(adamw({.rate = 0.01}));
  const Step again = step | checkpoint({.recompute = {"feed_forward", "gated_feed_forward"}});
  REQUIRE(clones(again).size() == 2);
  double flops = 0;  // of what the origin does
  for (const Node* node : clones(again)) {
    // z is read by the loss and by the gradient of its square: the gated one runs whole.
    CHECK(node->attributes.get_or<std::int64_t>("unread", 0) == (node->op->name == "feed_forward" ? 1 : 0));
    if (node->op->name != "feed_forward") continue;
    const Node& origin = step.graph.node(node->provenance.origin);
    flops = cost_of(again.graph.view(*node)->view).flops / cost_of(step.graph.view(origin)->view).flops;
  }
  CHECK(flops == 0.5);
  Tensor data(f32, {40, 16});
  for (std::int64_t i = 0; i < data.size(); ++i) data.data<float>()[i] = static_cast<float>((i * 37) % 101) / 50.0F - 1;
  const std::vector<Feed> feeds{{"x", data}};
  CHECK(first_difference(run(step, feeds, 1), run(again, feeds, 2)).empty());
  const Step other = training_step(Loss(sum(z + y))) | optimize(adamw({.rate = 0.01}));
  const Step partly = other | checkpoint({.recompute = {"gated_feed_forward"}, .policy = everything_saveable()});
  REQUIRE(clones(partly).size() == 1);
  CHECK(clones(partly).front()->attributes.get_or<std::int64_t>("unread", 0) == 1);
  CHECK(first_difference(run(other, feeds, 1), run(partly, feeds, 2)).empty());
}

TEST_CASE("lowering a checkpointed step again keeps its clones and its bytes", "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Step step = gpt.step() | checkpoint(every_block());
  const Step lowered = lower(step);
  CHECK(clones(lowered).size() == clones(step).size());
  CHECK(plan(lower(lowered)).total_bytes() == plan(step).total_bytes());
}

TEST_CASE("a parameter is overwritten only after the clones that read it", "[core][autodiff][checkpoint]") {
  const Gpt gpt;
  const Plan planned = plan(gpt.step() | checkpoint(nothing_saveable()));
  std::map<NodeId, std::size_t> position;
  for (std::size_t i = 0; i < planned.schedule.size(); ++i) position[planned.schedule[i]] = i;
  std::size_t in_place = 0;
  for (const Update& update : planned.step.updates) {
    if (planned.storage_of.at(update.value.ref()) != planned.storage_of.at(update.state.ref())) continue;
    ++in_place;
    for (NodeId reader : planned.step.graph.users(update.state.ref()))
      CHECK(position.at(reader) <= position.at(update.value.ref().node));
  }
  CHECK(in_place > 20);
}

namespace {

// The most bytes of tensors that live at once: workspaces, which grow with the vectors, apart.
std::size_t tensor_peak(const Plan& plan) {
  std::set<std::size_t> workspaces;
  for (const auto& [node, storage] : plan.workspaces) workspaces.insert(storage);
  std::size_t peak = 0;
  for (std::size_t at = 0; at < plan.schedule.size(); ++at) {
    std::size_t live = 0;
    for (std::size_t i = 0; i < plan.storages.size(); ++i) {
      const Storage& s = plan.storages[i];
      if (s.kind == StorageKind::arena && !workspaces.contains(i) && s.first <= at && at <= s.last) live += s.bytes;
    }
    peak = std::max(peak, live);
  }
  return peak;
}

}  // namespace

TEST_CASE("recomputation lowers the peak", "[core][autodiff][checkpoint]") {
  const Gpt gpt(6);
  const Step step = gpt.step();
  const PlanOptions one{.threads = 1};  // workspaces grow with them
  const Plan whole = plan(step, one), again = plan(step | checkpoint(every_block()), one);
  const std::size_t all = whole.arena_bytes;
  CHECK(tensor_peak(again) < tensor_peak(whole) * 60 / 100);
  // Vectors of AVX-512 have workspaces so large, beside this small model, that the whole falls less.
  if (tile_kernels<float>().panel <= 16) CHECK(again.arena_bytes < all * 62 / 100);
  CHECK(plan(step | checkpoint(dots_saveable()), one).arena_bytes < all);
}

TEST_CASE("bad settings of checkpoint are refused", "[core][autodiff][checkpoint][errors]") {
  const Gpt gpt(1);
  const Step step = gpt.step();
  CHECK_THROWS_WITH(checkpoint(CheckpointOptions{}),
                    ContainsSubstring("has nothing to do") && ContainsSubstring("checkpoint_test.cpp:"));
  CHECK_THROWS_WITH(checkpoint({.save = {"**"}, .budget = 1_GiB}), ContainsSubstring("a budget decides what is kept"));
  CHECK_THROWS_WITH(checkpoint({.budget = -5}), ContainsSubstring("must be a positive number of bytes, got -5"));
  CHECK_THROWS_WITH(fit(0), ContainsSubstring("got 0"));
  CHECK_THROWS_WITH(checkpoint(every_block({.every = 0})), ContainsSubstring("needs every >= 1, got 0"));
  CHECK_THROWS_WITH(step | checkpoint(every_block({.every = 99})), ContainsSubstring("so none would be kept"));
  CHECK_THROWS_WITH(step | checkpoint({.save = {"encoder/**"}}),
                    ContainsSubstring("save 'encoder/**' matches no value of the forward pass; hint: the first of") &&
                        ContainsSubstring("embedding/"));
  CHECK_THROWS_WITH(step | checkpoint({.recompute = {"**/gelu"}}),
                    ContainsSubstring("recompute '**/gelu' matches no value"));
  CHECK_THROWS_WITH(step | checkpoint(save_only_these_names({"x/*"})),
                    ContainsSubstring("save_only_these_names 'x/*' matches no value"));
  CHECK_THROWS_WITH(step | checkpoint({.save = {gpt.graph.parameters().front()}}),
                    ContainsSubstring("is not computed in the forward pass"));
  CHECK_THROWS_WITH(step | checkpoint({.save = {"decoder/**"}, .recompute = {"decoder/0/add"}}),
                    ContainsSubstring("decoder/0/add is picked by both save and recompute"));
  CHECK_THROWS_WITH(step | checkpoint(every_block()) | checkpoint(every_block()),
                    ContainsSubstring("checkpoint can be applied once"));
  CHECK_THROWS_WITH(evaluation(gpt.loss) | checkpoint(every_block()),
                    ContainsSubstring("checkpoint needs 'gradients'"));
  CHECK_THROWS_WITH(checkpoint(SavePolicy{"mine", {}, {}}), ContainsSubstring("the policy 'mine' has no rule"));
}
