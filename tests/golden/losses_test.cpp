// Losses of whole training runs, as they were once: a change that means to keep the arithmetic keeps them. losses.txt
// was written by this test, `WEFT_LOSSES=losses.txt weft_tests "[#losses_test]"`, before the folders were made anew. On
// one machine, before and after a change, the same command shows whether the bits are the same.
#include <support/catch.h>

#include <weft/weft.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

using namespace weft;

namespace {

struct Run {
  std::string name;
  double bound;  // relative, against losses.txt: other processors add in other orders
  std::function<Step(const Loss&)> step;
};

std::vector<Run> runs() {
  constexpr double single = 2e-5, low = 2e-2;
  const auto with = [](const Optimizer& optimizer) {
    return [optimizer](const Loss& loss) { return training_step(loss) | clip_global_norm(1.0) | optimize(optimizer); };
  };
  return {
      {"adamw", single, with(adamw({.rate = warmup_cosine(1e-2, 2, 20)}))},
      {"sgd", single, with(sgd({.rate = 0.1, .momentum = 0.9, .nesterov = true}))},
      {"lion", single, with(lion({.rate = 1e-3}))},
      {"lamb", single, with(lamb({.rate = 1e-2}))},
      {"muon", single,
       [](const Loss& loss) {
         return training_step(loss) |
                optimize({{"decoder/*/feed_forward/*/weight", muon({.rate = 1e-2})}, {"**", rmsprop({.rate = 1e-3})}});
       }},
      {"adafactor", single, with(adafactor())},
      {"accumulate", single,
       [](const Loss& loss) {
         return training_step(loss) | accumulate(3) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2}));
       }},
      {"checkpoint", single,
       [](const Loss& loss) {
         return training_step(loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2})) |
                checkpoint(EveryBlock{});
       }},
      {"bf16", low,
       [](const Loss& loss) {
         return training_step(loss) | mixed_precision(bf16) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2}));
       }},
      {"f16", low,
       [](const Loss& loss) {
         return training_step(loss) | mixed_precision(f16) | scale_loss(dynamic_scale()) | accumulate(2) |
                clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2})) | checkpoint(EveryBlock{});
       }},
  };
}

// Dropout, tied embeddings, targets that are ignored, sizes that no tile divides.
std::vector<double> losses_of(const Run& run) {
  constexpr std::int64_t rows = 6, length = 37, vocab = 61;
  Graph graph;
  const Dim batch = graph.dim("batch", rows), time = graph.dim("time", length);
  const Value tokens = graph.input("tokens", i32, {batch, time});
  const Value targets = graph.input("targets", i32, {batch, time});
  const nn::Gpt model(graph, {.vocab = vocab, .layers = 2, .heads = 2, .width = 48, .context = length, .dropout = 0.1});
  const Step step = run.step(cross_entropy(model(tokens), targets));
  Store store(graph, {.seed = 7});
  Program program(step, store);
  Tensor x(i32, {rows, length}), y(i32, {rows, length});
  std::vector<double> losses;
  for (int i = 0; i < 8; ++i) {
    std::int32_t* from = x.data<std::int32_t>();
    std::int32_t* to = y.data<std::int32_t>();
    for (std::int64_t j = 0; j < rows * length; ++j) {
      from[j] = static_cast<std::int32_t>((j * j + 3 * j + i) % vocab);
      to[j] = j % 11 == 5 ? -100 : static_cast<std::int32_t>((j * j + 5 * j + 4 + i) % vocab);
    }
    losses.push_back(program.run({{"tokens", x}, {"targets", y}}).scalar("loss"));
  }
  return losses;
}

std::map<std::string, std::vector<double>> stored() {
  std::map<std::string, std::vector<double>> all;
  std::ifstream file(WEFT_TESTS_DIR "/golden/losses.txt");
  REQUIRE(file);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, number;
    words >> name;
    while (words >> number) all[name].push_back(std::strtod(number.c_str(), nullptr));
  }
  return all;
}

}  // namespace

TEST_CASE("training runs have the losses that are stored", "[golden]") {
  if (const char* path = std::getenv("WEFT_LOSSES")) {
    std::ofstream file(path);
    for (const Run& run : runs()) {
      file << run.name;
      for (const double loss : losses_of(run)) file << ' ' << fmt::format("{:a}", loss);
      file << '\n';
    }
  }
  const auto expected = stored();
  for (const Run& run : runs()) {
    INFO(run.name);
    const std::vector<double> losses = losses_of(run);
    REQUIRE(expected.contains(run.name));
    REQUIRE(expected.at(run.name).size() == losses.size());
    for (std::size_t i = 0; i < losses.size(); ++i)
      CHECK(losses[i] == Approx(expected.at(run.name)[i]).epsilon(run.bound));
  }
}
