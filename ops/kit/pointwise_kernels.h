// Makes the kernels of a user's pointwise op from a function of single numbers. Not in <weft/weft.h>.
//
//   .traits = {.pointwise = true},
//   .kernels = pointwise_kernels<float, double, bfloat16>([](auto x) { return x / (1 + std::abs(x)); }),
//
// The function takes as many numbers as the op has operands (one to three), which broadcast, and gives a number or a
// bool. With Traits::pointwise the op is fused with its neighbours (runtime/region/region.h): a chain of pointwise ops
// becomes one node, run block by block in cache. bf16 and f16 are computed in f32 and rounded once.
#pragma once

#include <weft/ops/kit/pointwise.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {
namespace detail {

template <class F, class T>
constexpr int operands_of() {
  using C = Wide<T>;
  if constexpr (std::is_invocable_v<F, C>) return 1;
  else if constexpr (std::is_invocable_v<F, C, C>) return 2;
  else if constexpr (std::is_invocable_v<F, C, C, C>) return 3;
  else return 0;
}

// f over a row, along which each operand has stride 1 (`steps`) or 0.
template <class T, class U, std::size_t... I, class F>
void pointwise_row(const F& f, const std::array<const T*, sizeof...(I)>& in,
                   const std::array<bool, sizeof...(I)>& steps, U* y, std::int64_t n, std::index_sequence<I...>) {
  const std::array<std::int64_t, sizeof...(I)> stride{(steps[I] ? 1 : 0)...};
  if ((steps[I] && ...)) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<U>(f(in[I][i]...));
  } else {
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<U>(f(in[I][i * stride[I]]...));
  }
}

template <class T, class U, std::size_t... I, class F>
void pointwise_half_row(const F& f, const std::array<const T*, sizeof...(I)>& in,
                        const std::array<bool, sizeof...(I)>& steps, U* y, std::int64_t n,
                        std::index_sequence<I...> all) {
  float wide[sizeof...(I)][narrow_block];
  float result[narrow_block];
  for (std::int64_t i = 0; i < n; i += narrow_block) {
    const std::int64_t m = std::min(narrow_block, n - i);
    (widen(steps[I] ? in[I] + i : in[I], wide[I], steps[I] ? m : 1), ...);
    const std::array<const float*, sizeof...(I)> blocks{wide[I]...};
    if constexpr (std::is_same_v<U, bool>) {
      pointwise_row(f, blocks, steps, y + i, m, all);
    } else {
      pointwise_row(f, blocks, steps, result, m, all);
      narrow(result, y + i, m);
    }
  }
}

template <class F, class Make, class T, std::size_t... I>
BoundKernel bind_pointwise(const OpView& view, std::index_sequence<I...> all) {
  constexpr std::size_t operands = sizeof...(I);
  WEFT_CHECK(view.inputs() == static_cast<int>(operands) && (view.has(static_cast<int>(I)) && ...),
             "[{}] the kernel's function takes {} numbers, the node has {} operands", view.op.name, operands,
             view.inputs());
  const auto f = Make::template function<F>(view.attributes);
  using Result = decltype(f((static_cast<void>(I), Wide<T>{})...));
  using U = std::conditional_t<std::is_same_v<Result, bool>, bool, T>;
  WEFT_CHECK(view.out_type(0).dtype == dtype_of<U>, "[{}] the kernel's function gives {}, the shape rule says {}",
             view.op.name, name_of(dtype_of<U>), view.out_type(0).str());
  return [walk = BroadcastWalk(view), f, all](KernelContext& k) {
    const std::array<const T*, operands> in{k.in<T>(static_cast<int>(I))...};
    U* y = k.out<U>(0);
    const std::array<bool, operands> steps{walk.steps(static_cast<int>(I))...};
    walk.run([&](const BroadcastWalk::Offsets& at, std::int64_t out, std::int64_t n) {
      const std::array<const T*, operands> row{(in[I] + at[I])...};
      if constexpr (is_narrow<T>) pointwise_half_row(f, row, steps, y + out, n, all);
      else pointwise_row(f, row, steps, y + out, n, all);
    });
  };
}

struct AsItIs {
  template <class F>
  static F function(const Attributes&) {
    return F{};
  }
};
struct FromAttributes {
  template <class F>
  static auto function(const Attributes& attributes) {
    return F{}(attributes);
  }
};

template <class F, class Make, class T>
Kernel pointwise_kernel() {
  using Function = decltype(Make::template function<F>(std::declval<const Attributes&>()));
  constexpr int operands = operands_of<Function, T>();
  static_assert(operands > 0, "a pointwise function takes one to three numbers of the dtype in which it is computed");
  return {.dtype = dtype_of<T>, .bind = [](const OpView& view) {
            return bind_pointwise<F, Make, T>(view, std::make_index_sequence<static_cast<std::size_t>(operands)>());
          }};
}

}  // namespace detail

/// A kernel for each of the types; f captures nothing.
template <class... T, class F>
std::vector<Kernel> pointwise_kernels(F) {
  static_assert(std::is_empty_v<F> && std::is_default_constructible_v<F>,
                "the function captures nothing; hint: pointwise_kernels_from(attributes -> function)");
  return {detail::pointwise_kernel<F, detail::AsItIs, T>()...};
}

/// The same where the function depends on the node's attributes, which are read once, when the kernel is bound:
///
///   pointwise_kernels_from<float, double>([](const Attributes& a) {
///     return [slope = a.number("slope")](auto x) { return x > 0 ? x : static_cast<decltype(x)>(slope) * x; };
///   })
template <class... T, class F>
std::vector<Kernel> pointwise_kernels_from(F) {
  static_assert(std::is_empty_v<F> && std::is_default_constructible_v<F>, "the outer function captures nothing");
  return {detail::pointwise_kernel<F, detail::FromAttributes, T>()...};
}

}  // namespace weft
