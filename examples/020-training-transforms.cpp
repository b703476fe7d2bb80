// Training features as transforms: what each adds to a step, an order that cannot be built, the proof that the
// mathematics stayed the same, and what memory costs in time.
#include <weft/weft.h>

#include <fstream>
#include <iostream>
#include <string>
#include <vector>

using namespace weft;

namespace {

struct Task {
  Graph graph;
  Loss loss;

  Task() {
    const Dim batch = graph.dim("batch", 8), time = graph.dim("time", 32);
    const Value tokens = graph.input("tokens", i32, {batch, time});
    const Value targets = graph.input("targets", i32, {batch, time});
    const nn::Gpt model(graph, {.vocab = 64, .layers = 4, .heads = 4, .width = 64, .context = 32, .dropout = 0.1});
    loss = cross_entropy(model(tokens), targets, {.ignore_index = -100});
  }
};

// --- Each transform is a function from a step to a step; what it did can be read. ------------------------------------

Step show_each(const Task& task) {
  const std::vector<Transform> chain{
      scale_loss(dynamic_scale({.start = 1024, .window = 2000, .greatest = 65536})),
      accumulate(4),
      clip_global_norm(1.0),
      optimize(adamw({.rate = warmup_cosine(1e-3, 10, 200), .weight_decay = 0.1, .decay_rank = 2})),
      average_weights({.decay = 0.99}),
      checkpoint(every_block()),
  };
  Step step = training_step(task.loss);
  std::cout << "training_step: " << step.graph.size() << " nodes, " << step.gradients.size() << " gradients, "
            << readable_bytes(plan(step).total_bytes()) << "\n\n";
  for (const Transform& transform : chain) {
    const Step next = step | transform;
    std::cout << changes(step, next) << "  plan: " << readable_bytes(plan(next).total_bytes()) << "\n\n";
    step = next;
  }
  return step;
}

// --- A wrong order cannot be built: the message names both, the reason and the right order. --------------------------

bool show_order_error(const Task& task) {
  try {
    training_step(task.loss) | clip_global_norm(1.0) | scale_loss(static_scale(1024));
  } catch (const UserError& error) {
    std::cout << "An order that cannot be built:\n  " << error.what() << "\n\n";
    return true;
  }
  return false;
}

// --- Did it change the mathematics? Both steps run, in float64 and in f32, with dropout and uneven padding. ----------

bool show_proof(const Task& task, const Step& step) {
  const Step plain = training_step(task.loss) | clip_global_norm(1.0) |
                     optimize(adamw({.rate = warmup_cosine(1e-3, 10, 200), .weight_decay = 0.1, .decay_rank = 2}));
  const Equivalence proof =
      verify_equivalent(plain, step, {.integers = {{"tokens", 64}, {"targets", 64}}, .padding = {{"targets", -100}}});
  std::cout << proof << '\n';
  return proof.passed();
}

// --- What memory costs: every plan that no other beats in bytes and in time. -----------------------------------------

bool show_frontier(const Task& task, const std::string& picture) {
  const Step step = training_step(task.loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-3}));
  const MemoryFrontier frontier = memory_frontier(step);
  std::cout << frontier << '\n';
  if (!picture.empty()) std::ofstream(picture) << frontier.svg();
  const std::size_t least = frontier.points.front().bytes;
  const Step fitted = step | fit(static_cast<std::int64_t>(least));
  std::cout << "fit(" << least << "): " << readable_bytes(plan(fitted).total_bytes()) << " planned\n";
  try {
    step | fit(static_cast<std::int64_t>(least) / 2);
  } catch (const UserError& error) {
    std::cout << "  " << error.what() << '\n';
    return plan(fitted).total_bytes() <= least;
  }
  return false;
}

}  // namespace

/// 020-training-transforms [PICTURE.svg]
int main(int argc, char** argv) {
  const Task task;
  const Step step = show_each(task);
  const bool refused = show_order_error(task);
  const bool proven = show_proof(task, step);
  const bool fits = show_frontier(task, argc > 1 ? argv[1] : "");
  return refused && proven && fits ? 0 : 1;
}
