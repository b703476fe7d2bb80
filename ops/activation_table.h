// Activations by name, with torch's defaults, for ops that apply one inside a larger pass (glu, feed_forward).
#pragma once

#include <weft/graph/op_def.h>
#include <weft/ops/rows.h>

#include <string>

namespace weft {

struct Activation {
  std::string name;
  Simd<float>::Unary f32;  ///< y = f(x)
  Simd<double>::Unary f64;
  Simd<float>::UnaryGrad grad_f32;  ///< d_x = d_y f'(x)
  Simd<double>::UnaryGrad grad_f64;
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
};

/// The one that attribute "activation" names; UserError that lists the names if there is none.
const Activation& activation_of(const Attributes& attributes);

}  // namespace weft
