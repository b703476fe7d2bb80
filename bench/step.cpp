// Time of a GPT's training step: forward, backward, clipping by the global norm, AdamW.
//
//   bench_step [--config nano|small|gpt2|gpt2_1024] [--dtype f32|bf16] [--dropout 0] [--steps 10] [--threads 2]
//              [--profile FILE.json] [--plan] [--passes] [--off PASS,PASS] [--serve]
//
// Prints the seconds of each step; with --profile the tables of a profile too, and writes its Chrome trace; with --off
// the named lowering passes are left out; --passes lists those that change the step and can be. With --serve it says
// "ready" after three steps and then, for each line of stdin with a number of steps, answers with a line of seconds: so
// a driver can alternate it with a peer. "memory" is answered with bytes: planned, the process's growth from before the
// Store to its peak, its peak.
#include <weft/weft.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <CLI/CLI.hpp>

using namespace weft;

namespace {

struct Config {
  std::int64_t batch, time, layers, heads, width, vocab;
};

const std::map<std::string, Config> configs{{"nano", {12, 64, 4, 4, 128, 65}},
                                            {"small", {8, 256, 6, 6, 384, 65}},
                                            {"gpt2", {4, 64, 12, 12, 768, 50257}},
                                            {"gpt2_1024", {4, 1024, 12, 12, 768, 50257}}};

std::size_t high_water() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

int main(int argc, char** argv) try {
  std::string name = "nano", dtype = "f32", trace, off;
  int steps = 10, threads = 2;
  double dropout = 0;
  bool serve = false, show_plan = false, list_passes = false;
  CLI::App app{"Time of a GPT's training step"};
  app.add_option("--config", name)->check(CLI::IsMember(configs));
  app.add_option("--dtype", dtype)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--dropout", dropout);
  app.add_option("--steps", steps);
  app.add_option("--threads", threads);
  app.add_option("--profile", trace);
  app.add_option("--off", off);
  app.add_flag("--plan", show_plan);
  app.add_flag("--passes", list_passes);
  app.add_flag("--serve", serve);
  CLI11_PARSE(app, argc, argv);

  const Config& config = configs.at(name);
  const double begin = now();
  Graph graph;
  const Dim batch = graph.dim("batch", config.batch), time = graph.dim("time", config.time);
  const Value tokens = graph.input("tokens", i32, {batch, time}), targets = graph.input("targets", i32, {batch, time});
  const nn::Gpt model(graph, {.vocab = config.vocab,
                              .layers = config.layers,
                              .heads = config.heads,
                              .width = config.width,
                              .context = config.time,
                              .dropout = dropout,
                              .activation = "gelu_tanh"});
  Step step = training_step(cross_entropy(model(tokens), targets));
  if (dtype == "bf16") step = step | mixed_precision(bf16);
  step = step | clip_global_norm(1.0) | optimize(adamw({.rate = 3e-4, .beta2 = 0.95, .weight_decay = 0.1}));
  PlanOptions options{.threads = threads};
  std::istringstream passes(off);
  for (std::string pass; std::getline(passes, pass, ',');) options.lowering.disabled.insert(pass);
  Plan planned = plan(step, options);
  const double built = now() - begin;
  if (show_plan) std::cout << planned.passes.str() << planned;
  if (list_passes) {
    std::set<std::string> named;
    for (const PassReport::Line& line : planned.passes.lines)
      if (line.changed && line.name != "isolate_updates" && named.insert(line.name).second)
        std::cout << line.name << '\n';
    return 0;
  }
  const std::size_t bytes = planned.total_bytes(), before = high_water();
  Store store(step, {.seed = 1});
  Program program(std::move(planned), store);

  Tensor x(i32, {config.batch, config.time}), y(i32, {config.batch, config.time});
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x.data<std::int32_t>()[i] = static_cast<std::int32_t>((i * 7919 + 13) % config.vocab);
    y.data<std::int32_t>()[i] = static_cast<std::int32_t>((i * 104729 + 7) % config.vocab);
  }
  double loss = 0;
  const auto run = [&](int count) {
    std::string line;
    for (int i = 0; i < count; ++i) {
      const double start = now();
      loss = program.run({{"tokens", x}, {"targets", y}}).scalar("loss");
      line += fmt::format("{}{:.6f}", i == 0 ? "" : " ", now() - start);
    }
    return line;
  };
  run(config.time == 1024 ? 1 : 3);
  if (serve) {
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);)
      if (line == "memory") std::cout << bytes << ' ' << high_water() - before << ' ' << high_water() << std::endl;
      else std::cout << run(std::stoi(line)) << std::endl;
    return 0;
  }
  std::cout << run(steps) << fmt::format("\nloss {:.9g}, built and planned in {:.3f} s\n", loss, built);
  if (!trace.empty()) {
    const Profile profile = program.profile({{"tokens", x}, {"targets", y}});
    std::cout << profile;
    std::ofstream(trace) << profile.chrome_trace();
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "bench_step: " << error.what() << '\n';
  return 1;
}
