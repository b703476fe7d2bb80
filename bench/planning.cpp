// Time to make a training step ready, by phase: build the graph, differentiate, transform (clip, AdamW), lower, plan.
//
//   bench_planning [--repeat 5]
//
// Seconds of CPU time, the least of the repetitions. The last lines plan random graphs.
#include "gpt_models.h"

#include <support/random_steps.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>

#include <CLI/CLI.hpp>

using namespace weft;

namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Times {
  double build = 1e9, differentiate = 1e9, transform = 1e9, lowering = 1e9, planning = 1e9;
  std::size_t nodes = 0;
};

void measure(Times& times, const GptModel& model) {
  double last = cpu_seconds();
  const auto lap = [&last](double& least) {
    const double now = cpu_seconds();
    least = std::min(least, now - last);
    last = cpu_seconds();
  };
  Graph graph;
  const Loss loss = loss_of(graph, model);
  lap(times.build);
  const Step trained = training_step(loss);
  lap(times.differentiate);
  const Step step = trained | clip_global_norm(1.0) | optimize(adamw({.rate = 3e-4}));
  lap(times.transform);
  const Step lowered = lower(step);
  lap(times.lowering);
  const Plan planned = plan(lowered, {.threads = 2});
  lap(times.planning);
  times.nodes = planned.schedule.size();
}

}  // namespace

int main(int argc, char** argv) {
  int repeat = 5;
  CLI::App app{"Time to make a training step ready"};
  app.add_option("--repeat", repeat);
  CLI11_PARSE(app, argc, argv);

  std::map<std::string, GptModel> models = gpt_models;
  models["gpt2, 48 layers"] = {4, 64, 48, 25, 1600, 50257};
  std::printf("%-18s %7s %9s %9s %9s %9s %9s %9s   seconds of CPU\n", "", "nodes", "build", "gradient", "transform",
              "lower", "plan", "all");
  for (const auto& [name, model] : models) {
    Times times;
    for (int i = 0; i < repeat; ++i) measure(times, model);
    std::printf("%-18s %7zu %9.4f %9.4f %9.4f %9.4f %9.4f %9.4f\n", name.c_str(), times.nodes, times.build,
                times.differentiate, times.transform, times.lowering, times.planning,
                times.build + times.differentiate + times.transform + times.lowering + times.planning);
  }
  const char* names[] = {"local", "global", "mirrored", "chains"};
  for (int nodes : {2000, 20000})
    for (random_steps::Kind kind : random_steps::kinds) {
      const Step lowered = lower(random_steps::make(1, {.kind = kind, .nodes = nodes}));
      const double start = cpu_seconds();
      const Plan planned = plan(lowered, {.threads = 2});
      const double taken = cpu_seconds() - start;
      std::printf("random %-11s %7zu %39s %9.4f             ratio %.4f\n", names[static_cast<int>(kind)],
                  planned.schedule.size(), "", taken,
                  static_cast<double>(planned.arena_bytes) / static_cast<double>(planned.lower_bound));
    }
  return 0;
}
