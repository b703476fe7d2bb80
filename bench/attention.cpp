// Time of attention, forward alone and forward + backward, given d_y.
//
//   bench_attention [--time 1024] [--batch 1] [--heads 12] [--width 64] [--dtype f32|bf16] [--backward] [--runs 5]
//                   [--mask full|causal|window|bias] [--threads 2]
//   bench_attention --serve [--threads 2] [--cpu]
//
// Prints the seconds of each run; with --cpu seconds of processor time, which other programs disturb less. With --serve
// it says "ready" and then answers each line of stdin, "batch time heads width dtype mask backward runs", with the
// seconds of its runs: `./weft bench attention` alternates it with PyTorch. Masks: window is causal and of 256 keys,
// bias is a tensor [heads, time, time] added to the scores of a full attention.
#include <weft/weft.h>

#include <chrono>
#include <ctime>
#include <iostream>
#include <sstream>
#include <string>

#include <CLI/CLI.hpp>

using namespace weft;

namespace {

struct Case {
  std::int64_t batch = 1, time = 1024, heads = 12, width = 64;
  std::string dtype = "f32", mask = "causal";
  bool backward = false;
};

double now(bool cpu) {
  if (cpu) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Numbers that look normal enough: sums of two uniform ones.
Tensor filled(DType dtype, const std::vector<std::int64_t>& shape, std::uint32_t seed) {
  Tensor x(dtype, shape);
  std::uint32_t state = seed;
  const auto next = [&] {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / 16777216.0f - 0.5f;
  };
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const float value = 2 * (next() + next());
    if (dtype == bf16) x.data<bfloat16>()[i] = bfloat16(value);
    else x.data<float>()[i] = value;
  }
  return x;
}

std::string seconds_of(const Case& p, int runs, int threads, bool cpu) {
  const DType dtype = p.dtype == "bf16" ? bf16 : f32;
  const std::vector<std::int64_t> extents{p.batch, p.time, p.heads, p.width};
  const Shape shape{p.batch, p.time, p.heads, p.width};
  Graph graph;
  const Value q = graph.input("q", dtype, shape), k = graph.input("k", dtype, shape),
              v = graph.input("v", dtype, shape);
  const bool causal = p.mask == "causal" || p.mask == "window", biased = p.mask == "bias";
  const Value y = attention(q, k, v,
                            {.causal = causal,
                             .window = p.mask == "window" ? 256 : 0,
                             .bias = biased ? graph.input("bias", dtype, {p.heads, p.time, p.time}) : Value{}});
  std::vector<Value> wanted{y};
  if (p.backward)
    for (const Value& d : vector_jacobian({y}, {graph.input("d_y", dtype, shape)}, {q, k, v})) wanted.push_back(d);
  const Step step = fetching(wanted);
  Store store(step, {.seed = 1});
  Program program(step, store, {.threads = threads});
  std::vector<Tensor> tensors;
  for (std::uint32_t seed = 1; seed <= 4; ++seed) tensors.push_back(filled(dtype, extents, seed));
  if (biased) tensors.push_back(filled(dtype, {p.heads, p.time, p.time}, 5));
  std::vector<Feed> feeds{{"q", tensors[0]}, {"k", tensors[1]}, {"v", tensors[2]}};
  if (p.backward) feeds.emplace_back("d_y", tensors[3]);
  if (biased) feeds.emplace_back("bias", tensors[4]);
  program.run(feeds);
  std::string line;
  for (int i = 0; i < runs; ++i) {
    const double start = now(cpu);
    program.run(feeds);
    line += fmt::format("{}{:.6f}", i == 0 ? "" : " ", now(cpu) - start);
  }
  return line;
}

}  // namespace

int main(int argc, char** argv) try {
  Case p;
  int runs = 5, threads = 2;
  bool serve = false, cpu = false;
  CLI::App app{"Time of attention"};
  app.add_option("--batch", p.batch);
  app.add_option("--time", p.time);
  app.add_option("--heads", p.heads);
  app.add_option("--width", p.width);
  app.add_option("--dtype", p.dtype)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--mask", p.mask)->check(CLI::IsMember({"full", "causal", "window", "bias"}));
  app.add_flag("--backward", p.backward);
  app.add_option("--runs", runs);
  app.add_option("--threads", threads);
  app.add_flag("--cpu", cpu);
  app.add_flag("--serve", serve);
  CLI11_PARSE(app, argc, argv);
  if (!serve) {
    std::cout << seconds_of(p, runs, threads, cpu) << '\n';
    return 0;
  }
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    if (in >> p.batch >> p.time >> p.heads >> p.width >> p.dtype >> p.mask >> p.backward >> runs)
      std::cout << seconds_of(p, runs, threads, cpu) << std::endl;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "bench_attention: " << error.what() << '\n';
  return 1;
}
