// Ops with one fault each, for the tests of check_op.
#pragma once

#include <weft/testing/check_op.h>

#include <support/catch.h>

#include <weft/ops/kit/rules.h>
#include <weft/runtime/kernel.h>
#include <weft/weft.h>

#include <algorithm>
#include <source_location>
#include <string>
#include <vector>

namespace faulty {

using namespace weft;

template <class T>
void copy_kernel(KernelContext& k) {
  std::copy_n(k.in<T>(0), k.out_type(0).count(), k.out<T>(0));
}

#define OWN_KERNELS(f, ...)                                       \
  {                                                               \
    {.dtype = f32, .run = f<float __VA_OPT__(, ) __VA_ARGS__>}, { \
      .dtype = f64, .run = f<double __VA_OPT__(, ) __VA_ARGS__>   \
    }                                                             \
  }

// y = x, by the kernels given.
inline OpDef identity(const std::string& name, std::vector<Kernel> kernels) {
  return {.name = name,
          .law = "y = x",
          .infer = same_as_float_input,
          .batch = same_axis,
          .backward = [](Backward& b) { b.input(0, b.cotangent(0)); },
          .plain = [](const Plain& p) -> Values { return p.in[0] * 1.0; },
          .kernels = std::move(kernels),
          .samples = {{{sample::normal({3, 5}).batched(0)}}}};
}

inline std::string faults(const OpDef& op, std::source_location where = std::source_location::current()) {
  const OpCheck check = weft::check_op(op, where);
  CHECK_FALSE(check.passed());
  return check.str();
}

}  // namespace faulty
