// Arena over the largest sum of live bytes, for transformers and for random graphs:
//
//   bench_arena [--random 400] [--all]
//
// "peak" is the largest sum of live bytes of the schedule kept, "build order" that of the order in which the nodes were
// built. Exit status 1 where a transformer's ratio is over 1.001 or a random graph's over 1.05. With --all a line for
// each random graph.
#include "gpt_models.h"

#include <support/random_steps.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>

#include <CLI/CLI.hpp>

using namespace weft;

namespace {

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Made {
  std::size_t nodes, arena, peak, persistent;
  double ratio, seconds;
};

Made planned(const Step& lowered) {
  const double start = cpu_seconds();
  const Plan made = plan(lowered, {.threads = 2});
  const double seconds = cpu_seconds() - start;
  check_plan(made);
  const double ratio =
      made.lower_bound == 0 ? 1 : static_cast<double>(made.arena_bytes) / static_cast<double>(made.lower_bound);
  return {made.schedule.size(), made.arena_bytes, made.lower_bound, made.persistent_bytes, ratio, seconds};
}

struct Variant {
  std::string name;
  std::function<Step(const Loss&)> step;
  double dropout = 0;
};

const std::vector<Variant>& variants() {
  static const Transform adam = optimize(adamw({.rate = 3e-4})), clip = clip_global_norm(1.0);
  static const std::vector<Variant> all{
      {"plain", [](const Loss& loss) { return training_step(loss) | adam; }},
      {"clip", [](const Loss& loss) { return training_step(loss) | clip | adam; }},
      {"dropout", [](const Loss& loss) { return training_step(loss) | clip | adam; }, 0.1},
      {"accumulate(2)", [](const Loss& loss) { return training_step(loss) | accumulate(2) | clip | adam; }},
      {"accumulate(4)", [](const Loss& loss) { return training_step(loss) | accumulate(4) | clip | adam; }},
      {"bf16", [](const Loss& loss) { return training_step(loss) | mixed_precision(bf16) | clip | adam; }},
      {"every_block", [](const Loss& loss) { return training_step(loss) | clip | adam | checkpoint(every_block()); }},
      {"every_block, no clip", [](const Loss& loss) { return training_step(loss) | adam | checkpoint(every_block()); }},
      {"all of it",
       [](const Loss& loss) {
         return training_step(loss) | mixed_precision(bf16) | accumulate(2) | clip | adam | checkpoint(every_block());
       },
       0.1}};
  return all;
}

}  // namespace

int main(int argc, char** argv) try {
  int random = 400;
  bool all = false;
  CLI::App app{"Arena over the largest sum of live bytes"};
  app.add_option("--random", random);
  app.add_flag("--all", all);
  CLI11_PARSE(app, argc, argv);

  int broken = 0;
  std::printf("%-10s %-22s %6s %14s %14s %8s %9s\n", "", "", "nodes", "peak B", "arena B", "ratio", "plan s");
  for (const auto& [name, model] : gpt_models)
    for (const Variant& variant : variants()) {
      Graph graph;
      const Made made = planned(lower(variant.step(loss_of(graph, model, variant.dropout))));
      std::printf("%-10s %-22s %6zu %14zu %14zu %8.5f %9.4f\n", name.c_str(), variant.name.c_str(), made.nodes,
                  made.peak, made.arena, made.ratio, made.seconds);
      std::fflush(stdout);
      broken += made.ratio > 1.001;
    }

  const char* names[] = {"local", "global", "mirrored", "chains"};
  for (random_steps::Kind kind : random_steps::kinds) {
    double worst = 1, sum = 0, seconds = 0, bytes = 0;
    int count = 0, over = 0;
    for (int seed = 0; seed < random / 4; ++seed) {
      const int nodes = 20 + seed * 37 % 480;
      const double small = 0.1 * (seed % 7);
      const Made made = planned(lower(random_steps::make(static_cast<std::uint64_t>(seed),
                                                         {.kind = kind, .nodes = nodes, .smallest_share = small})));
      if (all)
        std::printf("%-10s seed %4d, %4zu nodes, peak %10zu, ratio %.5f, %.4f s\n", names[static_cast<int>(kind)], seed,
                    made.nodes, made.peak, made.ratio, made.seconds);
      worst = std::max(worst, made.ratio);
      sum += made.ratio;
      bytes += static_cast<double>(made.peak);
      seconds += made.seconds;
      ++count;
      over += made.ratio > 1.05;
    }
    std::printf("random %-10s %4d graphs: ratio mean %.5f, worst %.5f, %d over 1.05; peaks %.0f B in all, %.3f s\n",
                names[static_cast<int>(kind)], count, sum / std::max(1, count), worst, over, bytes, seconds);
    broken += over;
  }
  if (broken > 0) std::printf("%d over their bound\n", broken);
  return broken > 0 ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_arena: %s\n", error.what());
  return 1;
}
