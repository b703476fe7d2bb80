// The smallest use: a line through points, y = 3 x - 1.
#include <weft/weft.h>

#include <cmath>
#include <cstdio>

using namespace weft;

int main() {
  Graph graph;
  const Value x = graph.input("x", f32, {4, 1}), y = graph.input("y", f32, {4, 1});
  const Value a = graph.parameter("a", {f32, {1, 1}}, init::zeros()),
              b = graph.parameter("b", {f32, {1}}, init::zeros());
  const Value miss = matmul(x, a) + b - y;
  const Step step = training_step(mean(miss * miss)) | optimize(sgd({.rate = 0.1}));

  Store store(graph);
  Program train(step, store);
  const Tensor inputs = Tensor::of<float>({4, 1}, {-1, 0, 1, 2}), wanted = Tensor::of<float>({4, 1}, {-4, -1, 2, 5});
  for (int i = 0; i < 500; ++i) train.run({{"x", inputs}, {"y", wanted}});
  const double slope = store.tensor("a").at(0), at_zero = store.tensor("b").at(0);
  std::printf("y = %.4f x %+.4f\n", slope, at_zero);
  return std::abs(slope - 3) < 1e-3 && std::abs(at_zero + 1) < 1e-3 ? 0 : 1;
}
