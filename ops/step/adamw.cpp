#include <weft/graph/registry.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/step/adamw.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/simd/streams.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace weft {
namespace {

constexpr std::int64_t chunk = 16384;

std::vector<TensorType> infer(const OpView& view) {
  expect_float(view, 0);
  for (int i = 1; i < 4; ++i)
    WEFT_CHECK(view.type(i) == view.type(0), "operand {} must be {} as the parameter is, got {}", i, view.type(0).str(),
               view.type(i).str());
  const DType scalars[] = {f64, i64, boolean};
  for (int i = 4; i < 7; ++i)
    WEFT_CHECK((view.type(i) == TensorType{scalars[i - 4], {}}), "operand {} must be {}[], got {}", i,
               name_of(scalars[i - 4]), view.type(i).str());
  if (view.has(7))
    WEFT_CHECK((view.type(7) == TensorType{view.type(0).dtype, {}}), "the factor must be {}[], got {}",
               name_of(view.type(0).dtype), view.type(7).str());
  return {view.type(0), view.type(0), view.type(0)};
}

template <class T>
void adamw(KernelContext& ctx) {
  const std::int64_t n = ctx.type(0).count();
  const T* p = ctx.in<T>(0);
  const T* g = ctx.in<T>(1);
  const T* m = ctx.in<T>(2);
  const T* v = ctx.in<T>(3);
  T* p_out = ctx.out<T>(0);
  T* m_out = ctx.out<T>(1);
  T* v_out = ctx.out<T>(2);
  if (!*ctx.in<bool>(6)) {  // a step that is not taken
    if (p_out != p) std::memcpy(p_out, p, static_cast<std::size_t>(n) * sizeof(T));
    if (m_out != m) std::memcpy(m_out, m, static_cast<std::size_t>(n) * sizeof(T));
    if (v_out != v) std::memcpy(v_out, v, static_cast<std::size_t>(n) * sizeof(T));
    return;
  }
  const Attributes& options = ctx.attributes();
  const double rate = *ctx.in<double>(4);
  const auto t = static_cast<double>(*ctx.in<std::int64_t>(5) + 1);
  const double beta1 = options.number("beta1"), beta2 = options.number("beta2");
  const AdamwStep<T> step{.factor = ctx.has(7) ? *ctx.in<T>(7) : T(1),
                          .beta1 = static_cast<T>(beta1),
                          .rest1 = static_cast<T>(1.0 - beta1),
                          .beta2 = static_cast<T>(beta2),
                          .rest2 = static_cast<T>(1.0 - beta2),
                          .decay = static_cast<T>(1.0 - rate * options.number("weight_decay")),
                          .size = static_cast<T>(rate / (1.0 - std::pow(beta1, t))),
                          .root = static_cast<T>(std::sqrt(1.0 - std::pow(beta2, t))),
                          .eps = static_cast<T>(options.number("eps"))};
  parallel_for((n + chunk - 1) / chunk, [&](std::int64_t tile, int) {
    const std::int64_t i = tile * chunk;
    simd_streams<T>().adamw(step, p + i, g + i, m + i, v + i, p_out + i, m_out + i, v_out + i, std::min(chunk, n - i));
  });
}

Values plain(const Plain& node) {
  const Value p = node.in[0], m = node.in[2], v = node.in[3];
  const bool scaled = node.in.size() > 7 && !node.in[7].absent();
  const Value g = scaled ? node.in[1] * node.in[7] : node.in[1];
  const Value rate = node.in[4], updates = node.in[5], finite = node.in[6];
  const Attributes& a = node.attributes;
  const double beta1 = a.number("beta1"), beta2 = a.number("beta2");
  const DType dtype = p.dtype();
  const Value t = cast(updates, f64) + 1.0;
  auto power = [&](double beta) { return exp(t * std::log(beta)); };
  const Value decay = cast(1.0 - rate * a.number("weight_decay"), dtype);
  const Value size = cast(rate / (1.0 - power(beta1)), dtype);
  const Value root = cast(sqrt(1.0 - power(beta2)), dtype);
  const Value first = m * beta1 + g * (1.0 - beta1);
  const Value second = v * beta2 + g * (1.0 - beta2) * g;
  const Value next = p * decay - size * (first / (sqrt(second) / root + a.number("eps")));
  return {where(finite, next, p), where(finite, first, m), where(finite, second, v)};
}

std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  const bool free = only_batched(in) == -1;
  return every_output(view, free ? BatchState{} : BatchState::mixed());
}

}  // namespace

const OpDef& adamw_op() {
  const SampleInput taken = sample::integers({}, 1, 2).as(boolean), refused = sample::integers({}, 0, 1).as(boolean);
  static const OpDef op{
      .name = "adamw",
      .law =
          "m' = b1 m + (1 - b1) g; v' = b2 v + (1 - b2) g^2; p' = p (1 - rate decay) - rate / (1 - b1^t) m' / "
          "(sqrt(v' / (1 - b2^t)) + eps), t = updates + 1; g times the factor, if given; unchanged where not finite",
      .source = "Loshchilov & Hutter 2019, algorithm 2; torch.optim.AdamW",
      .outputs = {"parameter", "exp_avg", "exp_avg_sq"},
      .least_inputs = 7,
      .most_inputs = 8,
      .infer = infer,
      .batch = batch,
      .plain = plain,
      .traits = {.cheap = false, .in_place = {{0, 0}, {1, 2}, {2, 3}}, .precision = Precision::f32},
      .lowerings = {&fuse_adamw_factor()},
      .kernels = {{.dtype = f32, .run = adamw<float>}, {.dtype = f64, .run = adamw<double>}},
      .samples = {{{sample::normal({3, 5}), sample::normal({3, 5}), sample::normal({3, 5}),
                    sample::uniform({3, 5}, 0.1, 1), sample::uniform({}, 0.01, 0.02).constant().as(f64),
                    sample::integers({}, 0, 9), taken},
                   {{"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0.1}}},
                  {{sample::normal({40000}), sample::normal({40000}), sample::normal({40000}),
                    sample::uniform({40000}, 0, 1), sample::uniform({}, 0.01, 0.02).constant().as(f64),
                    sample::integers({}, 3, 4), taken},
                   {{"beta1", 0.9}, {"beta2", 0.99}, {"eps", 1e-8}, {"weight_decay", 0.0}},
                   false},
                  {{sample::normal({9, 5}), sample::normal({9, 5}), sample::normal({9, 5}),
                    sample::uniform({9, 5}, 0.1, 1), sample::uniform({}, 0.01, 0.02).constant().as(f64),
                    sample::integers({}, 0, 9), taken, sample::uniform({}, 0.3, 0.9)},
                   {{"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0.1}}},
                  {{sample::normal({7}), sample::normal({7}), sample::normal({7}), sample::uniform({7}, 0.1, 1),
                    sample::uniform({}, 0.01, 0.02).constant().as(f64), sample::integers({}, 0, 9), refused},
                   {{"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0.1}}}},
      .bad_samples =
          {{{{f32, {3}}, {f32, {4}}, {f32, {3}}, {f32, {3}}, {f64, {}}, {i64, {}}, {boolean, {}}},
            {{"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0.1}},
            "as the parameter is"},
           {{{f32, {3}}, {f32, {3}}, {f32, {3}}, {f32, {3}}, {f64, {}}, {i64, {}}, {boolean, {}}, {f32, {1}}},
            {{"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0.1}},
            "the factor must be f32[]"}},
  };
  return op;
}

AdamwResult adamw_update(const Arg& parameter, const Arg& gradient, const Arg& exp_avg, const Arg& exp_avg_sq,
                         const Arg& rate, const Arg& updates, const Arg& finite, const AdamwOptions& options) {
  const Values out = build_all(adamw_op(), {parameter, gradient, exp_avg, exp_avg_sq, rate, updates, finite},
                               {{"beta1", options.beta1},
                                {"beta2", options.beta2},
                                {"eps", options.eps},
                                {"weight_decay", options.weight_decay}});
  return {out[0], out[1], out[2]};
}

void register_adamw() { registry().add(adamw_op()); }

}  // namespace weft
