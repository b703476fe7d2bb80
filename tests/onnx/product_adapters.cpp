#include "adapters.h"

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/einsum.h>
#include <weft/ops/product/matmul.h>

namespace onnx_node {

using namespace weft;

namespace {

Value gemm(const Call& c) {
  const MatmulOptions options{.transpose_a = c.integer("transA", 0) != 0, .transpose_b = c.integer("transB", 0) != 0};
  const Value y = c.number("alpha", 1.0) * matmul(c.in(0), c.in(1), options);
  return c.has(2) ? y + c.number("beta", 1.0) * c.in(2) : y;
}

}  // namespace

Adapters product_adapters() {
  return {
      {"MatMul", [](const Call& c) { return matmul(c.in(0), c.in(1)); }},
      {"Gemm", gemm},
      {"Einsum", [](const Call& c) { return einsum(c.text("equation", ""), c.all()); }},
  };
}

}  // namespace onnx_node
