// A value, its gradient, and three ways to look at both: numbers, finite differences, and the graph as text.
#include <weft/weft.h>

#include <fmt/format.h>

#include <fstream>
#include <iostream>

using namespace weft;

int main(int count, char** arguments) {
  // A graph says what is to be computed. Nothing runs while it is built.
  Graph graph;
  const Value x = graph.input("x", f64, {2, 3});
  const Value w = graph.parameter("w", {f64, {3}}, init::normal(0, 1));
  const Value y = sum(tanh(x * w));  // x [2, 3] and w [3] broadcast, as in NumPy

  // The gradient is more graph: d_w has w's shape, and is as good a value as y.
  const Value d_w = gradient(y, {w}).front();
  std::cout << str(graph) << "\n";

  // Both run together: one line for a test, a Program for a loop (010-first-step.cpp).
  const Tensor fed = Tensor::of<double>({2, 3}, {0.5, -1, 2, 0, 1.5, -0.25});
  const std::vector<Feed> feeds{{"x", fed}};
  const std::vector<Tensor> got = evaluate({y, d_w}, feeds);
  std::cout << fmt::format("y = {:.6f}, d_w = ({:.6f}, {:.6f}, {:.6f})\n", got[0].item(), got[1].at(0), got[1].at(1),
                           got[1].at(2));

  // Is it true? Finite differences of every element, and a test that the error falls as h^2.
  const GradientCheck check = check_gradients(y, {w, x}, {{"x", fed}});
  std::cout << check.str() << "\n";

  // A gradient can be differentiated again, and checked again.
  const Tensor curvature = evaluate(gradient(sum(d_w), {w}).front(), {{"x", fed}});
  std::cout << fmt::format("d2_w = ({:.6f}, {:.6f}, {:.6f})\n", curvature.at(0), curvature.at(1), curvature.at(2));
  const GradientCheck second = check_gradients(d_w, {w, x}, {{"x", fed}});
  std::cout << second.str() << "\n";

  // What cannot be differentiated says so, with the line of the cut.
  try {
    gradient(sum(stop_gradient(w) * x), {w});
  } catch (const UserError& error) {
    std::cout << "refused: " << error.what() << "\n";
  }

  if (count > 1) std::ofstream(arguments[1]) << dot(graph);  // a picture: dot -Tsvg FILE
  return check.passed() && second.passed() ? 0 : 1;
}
