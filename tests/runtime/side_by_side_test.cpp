// What docs/threads.md promises: programs side by side, a program or a store in two runs at once, children of fork().
#include <support/catch.h>

#include <weft/weft.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

using namespace weft;

namespace {

// What a thread reports: Catch2's macros are for the main thread.
struct Trained {
  std::vector<double> losses;
  std::string error;
};

Trained train(int threads, std::uint64_t seed, int steps) {
  Trained trained;
  try {
    Graph graph;
    const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 16);
    const Value x = graph.input("x", i32, {batch, time}), y = graph.input("y", i32, {batch, time});
    nn::Gpt model(graph, {.vocab = 30, .layers = 2, .heads = 2, .width = 32, .context = 16, .dropout = 0.1});
    const Step step = training_step(cross_entropy(model(x), y)) | clip_global_norm(1.0) | optimize(adamw());
    Tensor from(i32, {4, 16}), to(i32, {4, 16});
    for (std::int32_t i = 0; i < 64; ++i) {
      from.data<std::int32_t>()[i] = i % 30;
      to.data<std::int32_t>()[i] = i * 7 % 30;
    }
    Store store(step, {.seed = seed});
    Program program(step, store, {.threads = threads});
    for (int i = 0; i < steps; ++i) trained.losses.push_back(program.run({{"x", from}, {"y", to}}).scalar("loss"));
  } catch (const std::exception& error) {
    trained.error = error.what();
  }
  return trained;
}

// y = x; when it runs it calls what a test has set.
std::function<void()> during_run;
void call_back(KernelContext& context) {
  *context.out<float>(0) = *context.in<float>(0);
  if (during_run) during_run();
}
const OpDef& call_back_op() {
  static const OpDef op{.name = "call_back",
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .backward = [](Backward& b) { b.input(0, b.cotangent(0)); },
                        .kernels = {{.run = call_back}}};
  return op;
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

struct Setup {
  Graph graph;
  Value w = graph.parameter("w", {f32, {1}}, init::ones());
  Value called = graph.apply(call_back_op(), {w})[0];
  Step reading = fetching({called});
  Step training = training_step(sum(called)) | optimize(sgd({.rate = 0.5}));
  Store store{training};
  Setup() { during_run = nullptr; }
  ~Setup() { during_run = nullptr; }
};

}  // namespace

TEST_CASE("programs with their own stores and numbers of threads do not disturb each other", "[core][runtime]") {
  constexpr int steps = 25;
  const std::array counts{1, 4, 2, 3};
  std::array<Trained, 4> alone, together;
  for (std::size_t i = 0; i < 4; ++i) alone[i] = train(counts[i], i, steps);
  std::vector<std::thread> team;
  for (std::size_t i = 0; i < 4; ++i)
    team.emplace_back([&, i] { together[i] = train(counts[i], i, steps); });
  for (std::thread& thread : team) thread.join();
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(alone[i].error.empty());
    CHECK(together[i].error.empty());
    CHECK(together[i].losses == alone[i].losses);
  }
}

TEST_CASE("a program that is running refuses a second run", "[core][runtime][errors]") {
  Setup s;
  Program program(s.reading, s.store);
  std::string error;
  during_run = [&] { error = error_of([&] { program.run(); }); };
  CHECK(program.run().tensor(s.called).item() == 1);
  CHECK_THAT(error, ContainsSubstring("this Program is running; hint: one run at a time: another thread needs a Program "
                                      "of its own"));
  during_run = nullptr;
  CHECK_NOTHROW(program.run());
}

TEST_CASE("runs over one store go together unless one of them writes", "[core][runtime][errors]") {
  Setup s;
  Program reading(s.reading, s.store), other(s.reading, s.store), training(s.training, s.store);
  bool nested = false;
  std::string error;
  const auto once = [&](const std::function<void()>& body) {
    return [&, body] {
      if (!nested) {
        nested = true;
        error = error_of(body);
      }
    };
  };
  during_run = once([&] { other.run(); });
  reading.run();
  CHECK(error.empty());

  nested = false;
  during_run = once([&] { training.run(); });
  reading.run();
  CHECK_THAT(error, ContainsSubstring("a run that trains or draws while a program over the same Store runs"));
  CHECK(s.store.tensor("w").item() == 1);

  nested = false;
  during_run = once([&] { reading.run(); });
  training.run();
  CHECK_THAT(error, ContainsSubstring("a run while a program over the same Store runs that writes to it; hint: one after "
                                      "the other, or a Store of its own (store.clone())"));
  CHECK(s.store.tensor("w").item() == 0.5);

  nested = false;
  during_run = once([&] { Program(s.reading, s.store).run(); });  // an overlaid or shared store is the same store
  training.run();
  CHECK(!error.empty());
  nested = false;
  Store overlaid = s.store.overlaid("average/");
  Program over(s.reading, overlaid);
  during_run = once([&] { over.run(); });
  training.run();
  CHECK_THAT(error, ContainsSubstring("that writes to it"));
  during_run = nullptr;
  CHECK_NOTHROW(over.run());
}

TEST_CASE("cells are not added to a store while a program over it runs", "[core][runtime][errors]") {
  Setup s;
  Program reading(s.reading, s.store);
  Graph more;
  more.parameter("more", {f32, {1}}, init::ones());
  std::string error;
  during_run = [&] { error = error_of([&] { s.store.add(more); }); };
  reading.run();
  CHECK_THAT(error, ContainsSubstring("adding to a Store while a program over the same Store runs"));
  during_run = nullptr;
  CHECK_NOTHROW(s.store.add(more));
}

TEST_CASE("a child of fork() goes on alone", "[core][runtime]") {
  const Trained before = train(2, 5, 3);  // the parent has a team
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);  // a child that waits for threads it does not have ends too
    const Trained inside = train(2, 5, 3);
    ::_exit(inside.losses == before.losses && inside.error.empty() ? 0 : 1);
  }
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(train(2, 5, 3).losses == before.losses);
}
