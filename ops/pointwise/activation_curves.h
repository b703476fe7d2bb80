// The vector functions of every activation in the form that activation_op.h takes; its op, glu and feed_forward share
// them. Not in <weft/weft.h>.
#pragma once

#include <weft/ops/pointwise/activation_op.h>

namespace weft::curves {

#define WEFT_CURVE(Name, function)                           \
  struct Name : NoParameters {                               \
    template <class T>                                       \
    static constexpr auto run = &Simd<T>::function;          \
    template <class T>                                       \
    static constexpr auto slope = &Simd<T>::function##_grad; \
  }
WEFT_CURVE(Relu, relu);
WEFT_CURVE(Gelu, gelu);
WEFT_CURVE(GeluTanh, gelu_tanh);
WEFT_CURVE(Silu, silu);
WEFT_CURVE(Mish, mish);
WEFT_CURVE(LogSigmoid, log_sigmoid);
WEFT_CURVE(Tanh, tanh);
WEFT_CURVE(Sigmoid, sigmoid);
WEFT_CURVE(HardSigmoid, hardsigmoid);
WEFT_CURVE(HardSwish, hardswish);
#undef WEFT_CURVE

struct Clamped {
  template <class T>
  static constexpr auto run = &Simd<T>::clamp;
  template <class T>
  static constexpr auto slope = &Simd<T>::clamp_grad;
};
struct HardTanh : Clamped {
  static CurveParameters parameters(const Attributes& a) {
    return {a.get_or<double>("min", -1), a.get_or<double>("max", 1)};
  }
};
struct Relu6 : Clamped {
  static CurveParameters parameters(const Attributes&) { return {0, 6}; }
};

struct LeakyRelu {
  template <class T>
  static constexpr auto run = &Simd<T>::leaky_relu;
  template <class T>
  static constexpr auto slope = &Simd<T>::leaky_relu_grad;
  static CurveParameters parameters(const Attributes& a) { return {a.get_or<double>("negative_slope", 0.01)}; }
};

struct Softplus {
  template <class T>
  static constexpr auto run = &Simd<T>::softplus;
  template <class T>
  static constexpr auto slope = &Simd<T>::softplus_grad;
  static CurveParameters parameters(const Attributes& a) {
    return {a.get_or<double>("beta", 1), a.get_or<double>("threshold", 20)};
  }
};

// positive x where x > 0, else negative (exp(rate x) - 1)
struct Exponential {
  template <class T>
  static constexpr auto run = &Simd<T>::elu;
  template <class T>
  static constexpr auto slope = &Simd<T>::elu_grad;
};
struct Elu : Exponential {
  static CurveParameters parameters(const Attributes& a) { return {1, a.get_or<double>("alpha", 1), 1}; }
};
struct Celu : Exponential {
  static CurveParameters parameters(const Attributes& a) {
    const double alpha = a.get_or<double>("alpha", 1);
    return {1, alpha, 1 / alpha};
  }
};
struct Selu : Exponential {  // the fixed point of mean 0 and variance 1, Klambauer et al. 2017, eq. 14
  static constexpr double scale = 1.0507009873554804934193349852946, alpha = 1.6732632423543772848170429916717;
  static CurveParameters parameters(const Attributes&) { return {scale, scale * alpha, 1}; }
};

}  // namespace weft::curves
