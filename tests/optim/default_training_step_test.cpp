#include <support/catch.h>

#include <weft/weft.h>

using namespace weft;

namespace {

struct Gpt {
  Graph graph;
  Loss loss;
  Tensor x{i64, {4, 8}}, y{i64, {4, 8}};

  Gpt() {
    const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 8);
    const Value tokens = graph.input("tokens", i64, {batch, time});
    const Value targets = graph.input("targets", i64, {batch, time});
    const nn::Gpt model(graph, {.vocab = 13, .layers = 2, .heads = 2, .width = 16, .context = 8, .dropout = 0.1});
    loss = cross_entropy(model(tokens), targets);
    for (std::int64_t i = 0; i < 32; ++i) {
      x.data<std::int64_t>()[i] = (i * 5) % 13;
      y.data<std::int64_t>()[i] = i % 6 == 5 ? -100 : (i * 7 + 1) % 13;
    }
  }
  Store trained(const Step& step) const {
    Store store(step, {.seed = 4});
    Program program(step, store);
    for (int i = 0; i < 3; ++i) program.run({{"tokens", x}, {"targets", y}});
    return store;
  }
};

}  // namespace

TEST_CASE("default_training_step is the chain that its header says, to the bit",
          "[core][optim][default_training_step]") {
  const Gpt gpt;
  const AdamwConfig optimizer{.rate = 0.01};
  const Step whole = default_training_step(gpt.loss, {.precision = bf16,
                                                      .loss_scale = dynamic_scale({.start = 4, .window = 2}),
                                                      .micro_batches = 2,
                                                      .clip_norm = 0.5,
                                                      .optimizer = optimizer,
                                                      .checkpoint = CheckpointOptions{.policy = dots_saveable()}});
  const Step chain = training_step(gpt.loss) | mixed_precision(bf16) |
                     scale_loss(dynamic_scale({.start = 4, .window = 2})) | accumulate(2) | clip_global_norm(0.5) |
                     optimize(adamw(optimizer)) | checkpoint(dots_saveable());
  CHECK(whole.history() == chain.history());
  CHECK(whole.micro_batches == 2);
  const Store got = gpt.trained(whole), want = gpt.trained(chain);
  CHECK(got.updates() == 3);
  CHECK(got.tensor("loss_scale").item() == 8);
  for (const auto& [path, cell] : want.cells()) CHECK(same_bits(cell.tensor, got.tensor(path)));
}

TEST_CASE("options that are absent, 0 or 1 leave their transform out", "[core][optim][default_training_step]") {
  const Gpt gpt;
  CHECK(default_training_step(gpt.loss).history() ==
        std::vector<std::string>{"training_step", "clip_global_norm", "optimize(adamw)"});
  CHECK(default_training_step(gpt.loss, {.clip_norm = 0}).history() ==
        std::vector<std::string>{"training_step", "optimize(adamw)"});
}

TEST_CASE("a bad option of default_training_step is refused by its transform",
          "[core][optim][default_training_step][errors]") {
  const Gpt gpt;
  CHECK_THROWS_WITH(default_training_step(gpt.loss, {.precision = i32}),
                    ContainsSubstring("mixed_precision needs a type of two bytes, bf16 or f16, got i32"));
  CHECK_THROWS_WITH(default_training_step(gpt.loss, {.micro_batches = 0}),
                    ContainsSubstring("at least one micro-batch, got 0"));
  CHECK_THROWS_WITH(default_training_step(gpt.loss, {.micro_batches = 3}),
                    ContainsSubstring("default_training_step_test.cpp:"));
  CHECK_THROWS_WITH(default_training_step(gpt.loss, {.clip_norm = -1}),
                    ContainsSubstring("needs a positive norm, got -1"));
}
