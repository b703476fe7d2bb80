// Program::run allocates nothing: every operator new of the process is counted while a run is under way. What oneDNN
// allocates inside its own calls is told apart by the call stack, and must be the same in every run.
#include <support/catch.h>

#include <weft/weft.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <dlfcn.h>
#include <execinfo.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <string_view>

namespace {

std::atomic<bool> counting{false};
std::atomic<int> own{0}, foreign{0};
thread_local bool inside = false;

void count() {
  if (!counting || inside) return;
  inside = true;  // backtrace and dladdr may allocate
  void* frames[48];
  const int depth = backtrace(frames, 48);
  bool library = false;
  for (int i = 0; i < depth; ++i) {
    Dl_info info;
    if (dladdr(frames[i], &info) != 0 && info.dli_fname != nullptr)
      library |= std::string_view(info.dli_fname).find("dnnl") != std::string_view::npos;
  }
  ++(library ? foreign : own);
  inside = false;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  count();
  const std::size_t rounded = weft::aligned(bytes);
  void* block = alignment <= alignof(std::max_align_t)
                    ? std::malloc(bytes == 0 ? 1 : bytes)
                    : std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes) { return allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
// Not inlined: GCC would say that free() gets what new gave.
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete[](void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete[](void* block, std::size_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete[](void* block, std::align_val_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }

using namespace weft;

namespace {

void expect_no_allocation(const Step& step, const Tensor& x, const Tensor& y) {
  Store store(step, {.seed = 1});
  Program program(step, store);
  int counted[3];
  for (int run = 0; run < 4; ++run) {
    own = foreign = 0;
    void* frame[1];
    backtrace(frame, 1);  // its first call loads a library
    counting = run > 0;   // the first run may warm up caches of the libraries
    program.run({{"tokens", x}, {"targets", y}});
    counting = false;
    if (run > 0) {
      CHECK(own == 0);
      counted[run - 1] = foreign;
    }
  }
  CHECK(counted[0] == counted[1]);
  CHECK(counted[1] == counted[2]);
}

}  // namespace

TEST_CASE("a run of a whole training step allocates nothing", "[core][runtime][allocation]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 16);
  const Value tokens = graph.input("tokens", i64, {batch, time});
  const Value targets = graph.input("targets", i64, {batch, time});
  const nn::Gpt model(graph, {.vocab = 33, .layers = 2, .heads = 4, .width = 64, .context = 16, .dropout = 0.1});
  const Loss loss = cross_entropy(model(tokens), targets);
  Tensor x(i64, {4, 16}), y(i64, {4, 16});
  for (std::int64_t i = 0; i < 64; ++i) {
    x.data<std::int64_t>()[i] = i * 7 % 33;
    y.data<std::int64_t>()[i] = (i * 7 + 1) % 33;
  }
  expect_no_allocation(
      default_training_step(loss, {.loss_scale = dynamic_scale(), .optimizer = {.rate = warmup_cosine(1e-3, 2, 10)}}),
      x, y);
  expect_no_allocation(training_step(loss) | clip_value(1.0) | clip_norm(1.0, {.norm_type = 3}) |
                           clip_global_norm(1.0, {.norm_type = INFINITY, .non_finite = NonFinite::fail}) |
                           fetch_gradients(),
                       x, y);
  for (const Transform& form : {accumulate(2), accumulate_over_runs(2)})
    expect_no_allocation(
        training_step(loss) | form | clip_global_norm(1.0) | optimize(adamw({.rate = warmup_cosine(1e-3, 2, 10)})), x,
        y);

  // The counter itself works.
  own = 0;
  counting = true;
  ::operator delete(::operator new(16));  // a call that no compiler may leave out
  counting = false;
  CHECK(own == 1);
}

TEST_CASE("a run of every optimizer and of averages allocates nothing", "[core][runtime][allocation]") {
  Graph graph;
  const Value x = graph.input("x", f32, {8, 12});
  Value y;
  const Shape shapes[] = {{12, 40}, {6, 80}, {96, 5}};
  const char* names[] = {"muon", "adafactor", "lamb", "lion", "adagrad", "rmsprop", "adam", "sgd"};
  for (std::size_t i = 0; i < 8; ++i) {
    const Value p = graph.parameter(names[i], {f32, shapes[i % 3]}, init::normal(0, 1));
    const Value part = matmul(x, reshape(p, {12, 40}));
    y = y.valid() ? y + part : part;
  }
  const Step step =
      training_step(Loss(sum_squares(y))) |
      optimize(
          {{"muon", muon()},
           {"adafactor", adafactor()},
           {"lamb", lamb()},
           {"lion", lion()},
           {"adagrad", adagrad()},
           {"rmsprop", rmsprop({.momentum = 0.9, .centered = true})},
           {"adam", adam({.amsgrad = true})},
           {"sgd", sgd({.rate = cosine_annealing_warm_restarts(0.1, {.t_0 = 2, .t_mult = 2}), .momentum = 0.9})}}) |
      average_weights();
  Store store(step, {.seed = 1});
  Program program(step, store);
  const Tensor fed(f32, {8, 12});
  for (int run = 0; run < 3; ++run) {
    own = 0;
    counting = run > 0;
    program.run({{"x", fed}});
    counting = false;
    CHECK(own == 0);
  }
}

TEST_CASE("a run of attention with a modifier, a pattern and a bias allocates nothing",
          "[core][runtime][allocation][attention]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 2);
  const Value x = graph.input("tokens", f32, {batch, 40, 2, 8}), y = graph.input("targets", f32, {batch, 40, 2, 8});
  const Value document = cast(slice(reshape(x, {batch, 40, 16}), {.axis = 2, .start = 0, .stop = 1}), i64);
  const Value weight = graph.parameter("weight", {f32, {2, 9}}, init::normal(0, 1));
  const Value bias = graph.parameter("bias", {f32, {2, 40, 40}}, init::normal(0, 1));
  const Value seen = attention(x, x, x,
                               {.causal = true,
                                .pairs = pairs::documents(reshape(document, {batch, 40})) | pairs::local(3),
                                .bias = bias,
                                .clip = 10,
                                .score = modifiers::relative_distances(weight)});
  const Value sparse = attention(seen, x, x, {.pairs = pairs::strided(2, 8), .score = modifiers::alibi(2)});
  const Tensor fed(f32, {2, 40, 2, 8});
  expect_no_allocation(training_step(mse_loss(sparse, y)) | optimize(sgd({.rate = 0.1})), fed, fed);
}

#else

using namespace weft;

// A sanitizer has an operator new of its own: what can be held under it is that a run adds nothing to the program.
TEST_CASE("runs leave a program's bytes as they were", "[core][runtime][allocation]") {
  Graph graph;
  const Value x = graph.input("x", f32, {4, 8});
  const Value w = graph.parameter("w", {f32, {8, 3}}, init::normal(0, 1));
  const Step step = default_training_step(Loss(sum_squares(matmul(x, w))));
  Store store(step, {.seed = 1});
  Program program(step, store);
  const std::size_t before = program.allocated_bytes(), kept = store.bytes();
  const Tensor fed(f32, {4, 8});
  for (int run = 0; run < 3; ++run) program.run({{"x", fed}});
  CHECK(program.allocated_bytes() == before);
  CHECK(store.bytes() == kept);
}

#endif
