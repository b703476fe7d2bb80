// A small model for the tests of matchers, and what a matcher says.
#pragma once

#include <support/catch.h>

#include <weft/weft.h>

#include <string>

namespace weft::test {

// Two layers.
struct Net {
  Graph graph;
  Value x, hidden, y;

  explicit Net(DType dtype = f32) {
    x = graph.input("x", dtype, {graph.dim("batch", 4), 3});
    const Value w = graph.parameter("w", {dtype, {3, 5}}, init::normal(0, 1));
    const Value v = graph.parameter("v", {dtype, {5, 2}}, init::normal(0, 1));
    hidden = tanh(matmul(x, w));
    y = matmul(hidden, v);
  }
  Loss loss() const { return weighted_mean(y * y); }
};

// What a matcher says of a value that it does not match.
template <class M, class T>
std::string said(const M& matcher, const T& value) {
  CHECK_FALSE(matcher.match(value));
  return matcher.describe();
}

}  // namespace weft::test
