#include <weft/runtime/copy.h>
#include <weft/runtime/kernel.h>

#include <cstring>

namespace weft {
namespace {

void copy(KernelContext& ctx) {
  if (ctx.out_bytes(0) != ctx.in_bytes(0)) std::memcpy(ctx.out_bytes(0), ctx.in_bytes(0), ctx.out_type(0).bytes());
}

}  // namespace

const OpDef& copy_op() {
  static const OpDef op{
      .name = "copy",
      .law = "y = x, in storage of its own",
      .infer = [](const OpView& view) -> std::vector<TensorType> { return {view.type(0)}; },
      .batch = [](const OpView&, std::span<const BatchState> in) -> std::vector<BatchState> { return {in[0]}; },
      .backward = [](Backward& b) { b.input(0, b.cotangent(0)); },
      .reference = [](const OpView&, std::span<const std::vector<double>> in) { return in[0]; },
      .terms = [](const OpView&) -> std::vector<Term> { return {{.factors = {0}, .adds = 0}}; },
      .traits = {.pointwise = true},
      .kernels = {{.dtype = f32, .run = copy},
                  {.dtype = f64, .run = copy},
                  {.dtype = bf16, .run = copy},
                  {.dtype = f16, .run = copy},
                  {.dtype = i32, .run = copy},
                  {.dtype = i64, .run = copy},
                  {.dtype = boolean, .run = copy}},
      .samples = {{{sample::normal({3, 5}).batched(0)}}, {{sample::extremes({2, 9})}, {}, false}},
  };
  return op;
}

}  // namespace weft
