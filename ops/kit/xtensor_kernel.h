// Writes the kernels of a user's op as xtensor expressions. Include it only where it is used: it costs a file about two
// seconds of compile time. Not in <weft/weft.h>.
//
//   .kernels = xtensor_kernels<float, double>([](auto k) {
//     const auto x = k.in(0);
//     const auto square = k.hold(xt::mean(x * x, {k.last(0)}, xt::keep_dims));
//     k.out(0) = x / xt::sqrt(square + 1e-6);
//   }),
//
// The expression is evaluated straight into the output's bytes. hold() and xtensor itself may allocate temporaries; a
// kernel that must not allocate is a loop over k.in(0).data(). 2-byte types have no arithmetic in xtensor: such an op
// runs in f32 under mixed_precision.
#pragma once

#include <weft/runtime/kernel.h>
#include <weft/runtime/xtensor.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace weft {

namespace detail {

// xtensor 0.24 reads a reduction that is broadcast in a larger expression at wrong places, and says nothing; evaluated
// on its own, or with numbers and functions of it, it is right.
template <class E>
struct IsReduction : std::false_type {};
template <class F, class E, class X, class O>
struct IsReduction<xt::xreducer<F, E, X, O>> : std::true_type {};
template <class F, class... E>
struct IsReduction<xt::xfunction<F, E...>>
    : std::bool_constant<(IsReduction<std::decay_t<E>>::value || ...) &&
                         ((IsReduction<std::decay_t<E>>::value || xt::is_xscalar<std::decay_t<E>>::value) && ...)> {};

template <class E>
struct HoldsReduction : std::false_type {};
template <class F, class... E>
struct HoldsReduction<xt::xfunction<F, E...>> : std::bool_constant<(HoldsReduction<std::decay_t<E>>::value || ...) ||
                                                                   ((IsReduction<std::decay_t<E>>::value || ...) &&
                                                                    !IsReduction<xt::xfunction<F, E...>>::value)> {};

}  // namespace detail

/// Output of a kernel: is assigned an expression of its extents, or one number. UserError if the extents differ.
template <class T>
class XtensorOutput {
 public:
  XtensorOutput(T* data, const TensorType& type, const std::string& op) : data_(data), type_(type), op_(op) {}

  template <class Expression>
  void operator=(const Expression& expression) {  // NOLINT: not an assignment of outputs
    if constexpr (std::is_arithmetic_v<Expression>) {
      std::fill(data_, data_ + type_.count(), static_cast<T>(expression));
    } else {
      static_assert(
          !detail::HoldsReduction<Expression>::value,
          "a reduction inside an expression: evaluate it first, k.hold(xt::sum(x, {k.last(0)}, xt::keep_dims))");
      const auto& shape = expression.shape();
      const std::vector<std::int64_t> got(shape.begin(), shape.end());
      WEFT_CHECK(got == type_.shape.extents(), "[{}] the kernel's expression has extents {}, its output is {}", op_,
                 Shape(std::span(got)).str(), type_.str());
      xt::noalias(view()) = expression;
    }
  }
  /// An adaptor over its bytes, to read and write.
  auto view() const {
    return xt::adapt(data_, static_cast<std::size_t>(type_.count()), xt::no_ownership(), type_.shape.extents());
  }
  T* data() const { return data_; }

 private:
  T* data_;
  const TensorType& type_;
  const std::string& op_;
};

/// What a kernel in xtensor expressions works with: T is the dtype for which it was chosen.
template <class T>
class XtensorContext {
 public:
  explicit XtensorContext(KernelContext& kernel) : kernel_(kernel) {}

  /// Operand i as an adaptor over its bytes; of another type where one is named: k.template in<std::int64_t>(1).
  template <class U = T>
  auto in(int i) const {
    const TensorType& type = kernel_.type(i);
    check_type<U>(type, "operand", i);
    return xt::adapt(kernel_.in<U>(i), static_cast<std::size_t>(type.count()), xt::no_ownership(),
                     type.shape.extents());
  }
  template <class U = T>
  XtensorOutput<U> out(int i) const {
    const TensorType& type = kernel_.out_type(i);
    check_type<U>(type, "output", i);
    return {kernel_.out<U>(i), type, kernel_.view().op.name};
  }
  /// The expression evaluated to an array; reductions must be held before other expressions read them.
  template <class Expression>
  static xt::xarray<T> hold(const Expression& expression) {
    static_assert(!detail::HoldsReduction<Expression>::value, "a reduction inside an expression: hold it on its own");
    return expression;
  }
  bool has(int i) const { return kernel_.has(i); }
  /// The last axis of operand i, as reductions of xtensor take axes.
  std::size_t last(int i) const { return static_cast<std::size_t>(kernel_.type(i).shape.rank() - 1); }
  const Attributes& attributes() const { return kernel_.attributes(); }
  KernelContext& kernel() const { return kernel_; }

 private:
  template <class U>
  void check_type(const TensorType& type, const char* what, int i) const {
    WEFT_CHECK(type.dtype == dtype_of<U>, "[{}] the kernel reads {} {} as {}, it is {}", kernel_.view().op.name, what,
               i, name_of(dtype_of<U>), type.str());
  }
  KernelContext& kernel_;
};

/// A kernel for each of the types from one generic lambda of an XtensorContext, which captures nothing.
template <class... T, class F>
std::vector<Kernel> xtensor_kernels(F) {
  static_assert(std::is_empty_v<F> && std::is_default_constructible_v<F>,
                "a kernel captures nothing: read k.attributes() instead");
  return {Kernel{.dtype = dtype_of<T>, .run = [](KernelContext& kernel) { F{}(XtensorContext<T>(kernel)); }}...};
}

}  // namespace weft
