// An op whose backward is wrong: what matchers must find.
#pragma once

#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise_kernels.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>

/// y = x^2 with d_x = x d_y: half of what it is.
inline const weft::OpDef& half_square_op() {
  using namespace weft;
  static const OpDef op{.name = "half_square",
                        .law = "y = x^2",
                        .infer = same_as_float_input,
                        .batch = same_axis,
                        .backward = [](Backward& b) { b.input(0, b.in(0) * b.cotangent(0)); },
                        .plain = [](const Plain& p) -> Values { return p.in[0] * p.in[0]; },
                        .traits = {.pointwise = true},
                        .kernels = pointwise_kernels<float, double>([](auto x) { return x * x; }),
                        .samples = {{{sample::normal({2}).batched(0)}}}};
  return op;
}

inline weft::Value half_square(const weft::Arg& x) { return weft::build(half_square_op(), {x}); }
