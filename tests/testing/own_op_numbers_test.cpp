// Ops of a user's own whose numbers go wrong only where they are large, many, drawn, or given twice: check_op finds
// them.
#include <testing/faulty_ops.h>

#include <weft/runtime/random.h>

#include <cmath>

using namespace weft;
using namespace faulty;

namespace {

template <class T>
void product_kernel(KernelContext& k) {
  for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) k.out<T>(0)[i] = k.in<T>(0)[i] * k.in<T>(1)[i];
}
template <class T>
void copy_positive_kernel(KernelContext& k) {
  for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) WEFT_CHECK(!(k.in<T>(0)[i] <= 0), "only what is positive");
  copy_kernel<T>(k);
}
template <class T>
void logsumexp_kernel(KernelContext& k) {
  const std::int64_t n = k.type(0).shape.extent(-1);
  for (std::int64_t row = 0; row < k.out_type(0).count(); ++row) {
    const T* x = k.in<T>(0) + row * n;
    const T top = n == 0 ? T(0) : *std::max_element(x, x + n);
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[i] - top));
    k.out<T>(0)[row] = static_cast<T>(static_cast<double>(top) + std::log(sum));
  }
}
template <bool Below>
void draw_kernel(KernelContext& k) {  // twelve binary places, rounded up or down
  const RandomKey key = random_key(k.random().seed, 1);
  std::vector<double> drawn(static_cast<std::size_t>(k.out_type(0).count()));
  uniform_fill(drawn.data(), k.out_type(0).count(), 0, key, k.random().runs);
  for (std::size_t i = 0; i < drawn.size(); ++i)
    k.out<float>(0)[i] = static_cast<float>((Below ? std::floor(drawn[i] * 4096) : std::ceil(drawn[i] * 4096)) / 4096);
}

}  // namespace

TEST_CASE("a draw that reaches the end of its interval is found", "[core][testing][own_op]") {
  const auto of = [](bool below) {
    OpDef op{.name = below ? "fault_none_range" : "fault_range",
             .law = "y ~ U[0, 1)",
             .least_inputs = 0,
             .most_inputs = 0,
             .infer = shape_attribute,
             .batch = [](const OpView& view, std::span<const BatchState>) { return every_output(view, BatchState{}); },
             .range = [](const OpView&) { return Interval{0, 1}; },
             .traits = {.random = true, .refuses = false},
             .samples = {{{}, {{"dtype", f32}, {"shape", Shape{3, 5}}, {"stream", std::int64_t{1}}}, false}}};
    if (below) op.kernels = {{.dtype = f32, .run = draw_kernel<true>}};
    else op.kernels = {{.dtype = f32, .run = draw_kernel<false>}};
    return op;
  };
  const OpCheck sound = weft::check_op(of(true));
  CHECK_THAT(sound.str(), !ContainsSubstring("range"));
  CHECK_THAT(faults(of(false)), ContainsSubstring("range: of [0, 1) the op draws ") &&
                                    ContainsSubstring("hint: rounding may reach the end that does not belong to it"));
}

TEST_CASE("a gradient that counts an operand given twice once too often is found", "[core][testing][own_op]") {
  OpDef op{.name = "fault_twice",
           .law = "y = a b",
           .least_inputs = 2,
           .most_inputs = 2,
           .infer = same_as_float_input,
           .batch = same_axis,
           .backward =
               [](Backward& b) {
                 const bool once = b.in(0) == b.in(1);  // and forgets that the other place adds the same
                 b.input(0, (once ? 2.0 : 1.0) * b.cotangent(0) * b.in(1));
                 b.input(1, b.cotangent(0) * b.in(0));
               },
           .plain = [](const Plain& p) -> Values { return p.in[0] * p.in[1]; },
           .kernels = OWN_KERNELS(product_kernel),
           .samples = {{{sample::normal({3, 5}).batched(0), sample::normal({3, 5}).batched(0)}}}};
  CHECK_THAT(faults(op), ContainsSubstring("one value twice: the gradient of one value as operands 0 and 1 is off by"));
}

TEST_CASE("a gradient that is rebuilt from one rounded number is found", "[core][testing][own_op]") {
  OpDef op{.name = "fault_offset",
           .law = "y = log sum exp(x)",
           .infer = [](const OpView& view) -> std::vector<TensorType> {
             return {{view.type(0).dtype, {view.shape(0)[0], 1}}};
           },
           .batch = same_axis,
           .backward = [](Backward& b) { b.input(0, b.cotangent(0) * exp(b.in(0) - b.out(0))); },
           .plain = [](const Plain& p) -> Values { return logsumexp(p.in[0], LogSumExpOptions{.keep = true}); },
           .kernels = OWN_KERNELS(logsumexp_kernel),
           .samples = {{{sample::normal({3, 5}).batched(0)}}}};
  CHECK_THAT(faults(op),
             ContainsSubstring("large numbers: with operand 0 moved by 1e+08 the outputs are off by 0 and the "
                               "gradients by "));
  op.backward = [](Backward& b) { b.input(0, b.cotangent(0) * softmax(b.in(0))); };
  const OpCheck sound = weft::check_op(op);
  INFO(sound.str());
  CHECK(sound.passed());
}

TEST_CASE("a count in the type of the elements is found", "[core][testing][own_op]") {
  OpDef op = identity("fault_count", {{.dtype = f32, .run = copy_kernel<float>},
                                      {.dtype = f64, .run = copy_kernel<double>},
                                      {.dtype = f16, .run = copy_kernel<float16>}});
  CHECK(weft::check_op(op).passed());
  op.backward = [](Backward& b) {
    const Value count = sum(ones_like(b.in(0)));
    b.input(0, b.cotangent(0) * (count / count));
  };
  CHECK_THAT(faults(op), ContainsSubstring("many elements (3 as 70000): of f16 the outputs are off by ") &&
                             ContainsSubstring("hint: f16 counts to 65,504"));
}

TEST_CASE("a refusal that is not declared is found", "[core][testing][own_op]") {
  OpDef op = identity("fault_refusal", OWN_KERNELS(copy_positive_kernel));
  op.samples = {{{sample::uniform({3, 5}, 1, 2).batched(0)}}};
  CHECK(weft::check_op(op).str().empty());  // an op of one's own may refuse unless it says that it does not
  op.traits.refuses = false;
  CHECK_THAT(faults(op), ContainsSubstring("refusals: with -1 in operand 0 the kernel refuses the run: ") &&
                             ContainsSubstring("only what is positive; hint: .traits = {.refuses = true}"));
}
