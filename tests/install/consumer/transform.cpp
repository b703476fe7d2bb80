// A transform of a user's, Step -> Step, against the installed package alone: gradient centralisation (Yong et al.
// 2020, arXiv:2004.01461). Its law is proven, a wrong one is found, a wrong order is refused, and a model trains with
// it.
#include <weft/optim/each_gradient.h>
#include <weft/weft.h>

#include <cstdio>
#include <string>

using namespace weft;

namespace {

// The mean of each row of a weight's gradient is taken off: g - mean(g), over all that leads to one output (eq. 1).
// The law says the same on plain numbers: rows of 6 for the first weight, of 16 for the second.
GradientTable centred(GradientTable gradients) {
  for (auto& [path, g] : gradients) {
    const std::size_t width = path == "in/weight" ? 6 : path == "out/weight" ? 16 : 0;
    for (std::size_t row = 0; width > 0 && row < g.size(); row += width) {
      double mean = 0;
      for (std::size_t i = 0; i < width; ++i) mean += g[row + i] / static_cast<double>(width);
      for (std::size_t i = 0; i < width; ++i) g[row + i] -= mean;
    }
  }
  return gradients;
}

Transform centralise(std::int64_t axis = -1) {
  return each_gradient(
      {.name = "centralise",
       .change = "takes the mean of each row off the gradients of weights",
       .pattern = "*/weight",
       .make =
           [axis](const GradientContext& c) { return c.gradient - mean(c.gradient, {.axes = {axis}, .keep = true}); },
       .law = centred});
}

int fail(const char* what, const std::string& detail) {
  std::printf("%s\n%s\n", what, detail.c_str());
  return 1;
}

}  // namespace

int main() {
  Graph graph;
  const Dim batch = graph.dim("batch", 16);
  const Value x = graph.input("x", f32, {batch, 6}), y = graph.input("y", f32, {batch, 1});
  const nn::Linear in(graph, "in", {.in = 6, .out = 16}), out(graph, "out", {.in = 16, .out = 1});
  const Value error = out(tanh(in(x))) - y;
  const Step plain = training_step(weighted_mean(error * error));

  const Equivalence proof = verify_equivalent(plain, plain | centralise());
  if (!proof.passed()) return fail("the law does not hold:", proof.str());
  if (verify_equivalent(plain, plain | centralise(0)).passed()) return fail("columns for rows were not found", "");

  std::string refused;
  try {
    plain | optimize(sgd({.rate = 0.1})) | centralise();
  } catch (const UserError& wrong) {
    refused = wrong.what();
  }
  if (refused.find("the right order: training_step | centralise | optimize(sgd)") == std::string::npos)
    return fail("the order was not refused as it should be:", refused);

  const Step step = plain | accumulate(2) | centralise() | clip_global_norm(1.0) | optimize(adamw({.rate = 0.01}));
  Store store(step, {.seed = 1});
  Program train(step, store);
  Tensor inputs(f32, {16, 6}), wanted(f32, {16, 1});
  double first = 0, last = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    normal_fill(inputs.data<float>(), inputs.size(), 0, random_key(1, 1), i);
    for (std::int64_t row = 0; row < 16; ++row)
      wanted.data<float>()[row] = inputs.data<float>()[6 * row] - inputs.data<float>()[6 * row + 1];
    last = train.run({{"x", inputs}, {"y", wanted}}).scalar("loss");
    if (i == 0) first = last;
  }
  std::printf("the law holds; loss %g, then %g\n", first, last);
  return last < 0.1 * first ? 0 : 1;
}
