// Optimizers and schedules against PyTorch: published trajectories, and rates of torch.optim.lr_scheduler.
#include "golden.h"

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/optim/optimize.h>
#include <weft/optim/optimizers/adam.h>
#include <weft/optim/optimizers/sgd.h>
#include <weft/optim/schedules/cycle.h>
#include <weft/optim/schedules/decay.h>
#include <weft/optim/schedules/sequence.h>
#include <weft/optim/training_step.h>
#include <weft/runtime/program.h>

#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>

namespace golden {

using namespace weft;

namespace {

constexpr double base = 0.5;  // the file's base rate

std::map<std::string, Schedule> schedules() {
  return {
      {"StepLR(step_size=10,gamma=0.3)", step_lr(base, {.step_size = 10, .gamma = 0.3})},
      {"MultiStepLR([5,20,21],gamma=0.5)", multi_step_lr(base, {5, 20, 21}, 0.5)},
      {"ExponentialLR(0.93)", exponential_lr(base, 0.93)},
      {"CosineAnnealingLR(T_max=25,eta_min=0.05)", cosine_annealing_lr(base, {.t_max = 25, .eta_min = 0.05})},
      {"CosineAnnealingWarmRestarts(T_0=7,T_mult=2,eta_min=0.01)",
       cosine_annealing_warm_restarts(base, {.t_0 = 7, .t_mult = 2, .eta_min = 0.01})},
      {"LinearLR(0.1,1.0,12)", linear_lr(base, {.start_factor = 0.1, .end_factor = 1, .total_iters = 12})},
      {"PolynomialLR(30,power=2)", polynomial_lr(base, {.total_iters = 30, .power = 2})},
      // The key says 60; the values are PyTorch's for 61, which leaves room for one more step() after the last of them.
      {"OneCycleLR(max_lr=0.5,total_steps=60,pct_start=0.3,cos)",
       one_cycle_lr(0.5, {.total_steps = 61, .pct_start = 0.3})},
      {"ConstantLR(0.25,8)", constant_lr(base, {.factor = 0.25, .total_iters = 8})},
      {"CyclicLR(0.1,0.5,step_size_up=6,triangular2)",
       cyclic_lr(0.1, 0.5, {.step_size_up = 6, .mode = CyclicMode::triangular2})},
      {"SequentialLR([LinearLR(0.1,1,5),CosineAnnealingLR(20)],[5])",
       sequential_lr({linear_lr(base, {.start_factor = 0.1, .end_factor = 1, .total_iters = 5}),
                      cosine_annealing_lr(base, {.t_max = 20})},
                     {5})},
  };
}

// Every tensor of the file, one rate an update.
std::string lr_schedules(const Safetensors& file) {
  const std::map<std::string, Schedule> known = schedules();
  for (const auto& [name, want] : file.tensors) {
    const auto schedule = known.find(name);
    if (schedule == known.end()) return fmt::format("no schedule is known for '{}'", name);
    Graph graph;
    const Value rate = schedule->second(graph.input("updates", i64, {}));
    Store store(graph);
    Program program(fetching({rate}), store);
    Tensor got(f64, want.extents());
    for (std::int64_t t = 0; t < want.size(); ++t) {
      const Tensor updates = Tensor::scalar(t);
      got.data<double>()[t] = program.run({{"updates", updates}}).scalar(rate);
    }
    if (std::string text = difference(name, got, want, {1e-12, 1e-12}); !text.empty()) return text;
  }
  for (const auto& [name, schedule] : known)
    if (!file.tensors.contains(name)) return fmt::format("the file lacks '{}'", name);
  return "";
}

Optimizer optimizer_of(const nlohmann::json& trajectory) {
  const auto& options = trajectory.at("options");
  const std::string kind = trajectory.at("optimizer");
  const double rate = options.at("lr");
  for (const auto& [key, value] : options.items())
    WEFT_CHECK(key == "lr" || key == "weight_decay" || (key == "momentum" && kind == "SGD"), "{} has an option {}",
               kind, key);
  if (kind == "Adam") return adam({.rate = rate, .weight_decay = options.value("weight_decay", 0.0)});
  if (kind == "AdamW") return adamw({.rate = rate, .weight_decay = options.value("weight_decay", 0.01)});
  WEFT_CHECK(kind == "SGD", "the optimizer {} is not known", kind);
  return sgd(
      {.rate = rate, .momentum = options.value("momentum", 0.0), .weight_decay = options.value("weight_decay", 0.0)});
}

Tensor tensor_of(const nlohmann::json& values, Tensor::Extents extents) {
  const auto numbers = values.get<std::vector<double>>();
  return Tensor::of<double>(std::move(extents), std::span<const double>(numbers));
}

// y = sigmoid(W2 sigmoid(W1 x + b1) + b2), the loss is the sum of y over the rows.
std::string follow(const nlohmann::json& file, const nlohmann::json& trajectory) {
  const std::map<std::string, Shape> shapes{
      {"0.weight", {3, 2}}, {"0.bias", {3}}, {"2.weight", {1, 3}}, {"2.bias", {1}}};
  Graph graph;
  const auto rows = static_cast<std::int64_t>(file.at("input").size());
  const Value x = graph.input("x", f64, {rows, 2});
  std::map<std::string, Value> p;
  for (const auto& [name, shape] : shapes) p[name] = graph.parameter(name, {f64, shape}, init::zeros());
  const Value hidden = sigmoid(linear(x, p["0.weight"], p["0.bias"]));
  const Value y = sigmoid(linear(hidden, p["2.weight"], p["2.bias"]));
  const Step step = training_step(Loss(sum(y))) | optimize(optimizer_of(trajectory));
  Store store(step);
  for (const auto& [name, shape] : shapes) store.set(name, tensor_of(file.at("initial").at(name), shape.extents()));
  nlohmann::json flat = nlohmann::json::array();
  for (const auto& row : file.at("input")) flat.insert(flat.end(), row.begin(), row.end());
  const Tensor input = tensor_of(flat, {rows, 2});
  Program program(step, store);
  const Tolerance published{file.at("atol"), file.at("rtol")};
  std::int64_t done = 0;
  for (std::size_t s = 0; s < file.at("sample_after_step").size(); ++s) {
    for (const std::int64_t until = file.at("sample_after_step").at(s); done < until; ++done)
      program.run({{"x", input}});
    for (std::size_t k = 0; k < file.at("param_order").size(); ++k) {
      const std::string name = file.at("param_order").at(k);
      const Tensor want = tensor_of(trajectory.at("samples").at(s).at(k), shapes.at(name).extents());
      std::string text = difference(fmt::format("{} after step {}", name, done), store.tensor(name), want, published);
      if (!text.empty()) return text;
    }
  }
  return "";
}

// The trajectories of PyTorch's own C++ tests.
std::string torch_optim(const std::filesystem::path& path) {
  std::ifstream in(path);
  const auto file = nlohmann::json::parse(in);
  if (file.at("trajectories").empty()) return "the file has no trajectories";
  for (const auto& trajectory : file.at("trajectories"))
    if (std::string text = follow(file, trajectory); !text.empty())
      return trajectory.at("name").get<std::string>() + ": " + text;
  return "";
}

}  // namespace

Cases optim_cases() { return {{"lr_schedules", lr_schedules}}; }

FileCases file_cases() { return {{"torch_optim.json", torch_optim}}; }

}  // namespace golden
