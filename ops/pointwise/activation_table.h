// Activations by name, with torch's defaults, for ops that apply one inside a larger pass (glu, feed_forward).
// Not in <weft/weft.h>.
#pragma once

#include <weft/graph/op_def.h>
#include <weft/ops/kit/rows.h>

#include <string>

namespace weft {

struct Activation {
  std::string name;
  Simd<float>::Unary f32;  ///< y = f(x)
  Simd<double>::Unary f64;
  Simd<float>::UnaryGrad grad_f32;  ///< d_x = d_y f'(x)
  Simd<double>::UnaryGrad grad_f64;
  Simd<float>::UnaryBoth both_f32 = nullptr;  ///< y = f(x), d_x = d_y f'(x); null: run the two above
  Simd<double>::UnaryBoth both_f64 = nullptr;
  const OpDef& (*op)();
  Value (*grad_value)(const Value& x, const Value& d_y, const Attributes&);
  Attributes attributes = {};  ///< of both

  Value value(const Value& x) const;
  Value grad(const Value& x, const Value& d_y) const { return grad_value(x, d_y, attributes); }

  template <class W>
  auto run() const {
    if constexpr (std::is_same_v<W, float>) return f32;
    else return f64;
  }
  template <class W>
  auto run_grad() const {
    if constexpr (std::is_same_v<W, float>) return grad_f32;
    else return grad_f64;
  }
  /// y = f(x) and d_x = d_y f'(x); y may alias x, and d_x may alias d_y.
  template <class W>
  void run_both(const W* x, const W* d_y, W* y, W* d_x, std::int64_t n) const {
    if (both_f32 != nullptr) {
      if constexpr (std::is_same_v<W, float>) both_f32(x, d_y, y, d_x, n);
      else both_f64(x, d_y, y, d_x, n);
      return;
    }
    run_grad<W>()(x, d_y, d_x, n);  // first: y may overwrite x
    run<W>()(x, y, n);
  }
};

/// The activation that the attribute "activation" names. UserError, which lists the names, if there is none.
const Activation& activation_of(const Attributes& attributes);

}  // namespace weft
