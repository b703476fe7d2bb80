// Planned and real bytes of a training step under a budget, and its time against no recomputation:
//
//   bench_fit_memory [--budget GIB] [--plain 1] [--runs 2] [--threads 2] [--vocab 50257 --layers 12
//                    --heads 12 --width 768 --batch 4 --time 1024]
//
// Each line runs in a process of its own, so that one's memory is not another's. "real" is what the process's peak
// (VmHWM) grew by from before the parameters were made to the end of the last run.
#include <weft/weft.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>

using namespace weft;

namespace {

struct Settings {
  std::map<std::string, double> values{{"--budget", 0},    {"--plain", 1},   {"--runs", 2},   {"--threads", 2},
                                       {"--vocab", 50257}, {"--layers", 12}, {"--heads", 12}, {"--width", 768},
                                       {"--batch", 4},     {"--time", 1024}};
  std::int64_t integer(const std::string& name) const { return static_cast<std::int64_t>(values.at(name)); }
};

std::size_t high_water() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void run(const Settings& settings, double budget_gib) {
  Graph graph;
  const std::int64_t rows = settings.integer("--batch"), columns = settings.integer("--time"),
                     vocab = settings.integer("--vocab");
  const Dim batch = graph.dim("batch", rows), time = graph.dim("time", columns);
  const Value tokens = graph.input("tokens", i32, {batch, time}), targets = graph.input("targets", i32, {batch, time});
  const nn::Gpt model(graph, {.vocab = vocab,
                              .layers = settings.integer("--layers"),
                              .heads = settings.integer("--heads"),
                              .width = settings.integer("--width"),
                              .context = columns});
  const int threads = static_cast<int>(settings.integer("--threads"));
  Step step =
      training_step(cross_entropy(model(tokens), targets)) | clip_global_norm(1.0) | optimize(adamw({.rate = 3e-4}));
  const double start = seconds();
  if (budget_gib > 0) {
    const auto budget = static_cast<std::int64_t>(budget_gib * 1073741824.0);
    step = step | checkpoint({.budget = budget, .threads = threads});
  }
  const double searched = seconds() - start;
  Plan planned = plan(step, {.threads = threads});
  const std::size_t bytes = planned.total_bytes();
  const double predicted = predicted_seconds(planned);

  const std::size_t before = high_water();
  Store store(step, {.seed = 1});
  Program program(std::move(planned), store);
  Tensor x(i32, {rows, columns}), y(i32, {rows, columns});
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    x.data<std::int32_t>()[i] = static_cast<std::int32_t>((i * 7919 + 13) % vocab);
    y.data<std::int32_t>()[i] = static_cast<std::int32_t>((i * 104729 + 7) % vocab);
  }
  double best = 1e30, loss = 0;
  for (std::int64_t i = 0; i < settings.integer("--runs"); ++i) {
    const double begin = seconds();
    loss = program.run({{"tokens", x}, {"targets", y}}).scalar("loss");
    best = std::min(best, seconds() - begin);
  }
  const std::size_t real = high_water() - before;
  std::printf(
      "%-12s planned %12zu B (%s)  real %12zu B (%s, %+.2f %%)  predicted %8.3f s  run %8.3f s  search %6.2f s  loss "
      "%.9g\n",
      budget_gib > 0 ? fmt::format("{:.3f} GiB", budget_gib).c_str() : "as it is", bytes, readable_bytes(bytes).c_str(),
      real, readable_bytes(real).c_str(), 100.0 * (static_cast<double>(real) / static_cast<double>(bytes) - 1),
      predicted, best, searched, loss);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!settings.values.contains(argv[i])) {
      std::cerr << "no option " << argv[i] << '\n';
      return 2;
    }
    settings.values[argv[i]] = std::atof(argv[i + 1]);
  }
  std::vector<double> budgets;
  if (settings.values.at("--plain") != 0) budgets.push_back(0);
  if (settings.values.at("--budget") > 0) budgets.push_back(settings.values.at("--budget"));
  int failures = 0;
  for (double budget : budgets) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        run(settings, budget);
        std::_Exit(0);
      } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        std::_Exit(1);
      }
    }
    int status = 0;
    waitpid(child, &status, 0);
    failures += status != 0;
  }
  return failures;
}
