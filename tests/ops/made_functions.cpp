#include "made_functions.h"

#include <weft/ops/attention/attention.h>
#include <weft/ops/index/one_hot.h>
#include <weft/ops/index/sampling.h>
#include <weft/ops/loss/cross_entropy.h>
#include <weft/ops/loss/loss.h>
#include <weft/ops/norm/rms_norm.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/glu.h>
#include <weft/ops/product/einsum.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/reduce/statistics.h>
#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>

using namespace weft;

namespace {

Value floats(Graph graph, Shape shape) {
  return graph.input(fmt::format("x{}", graph.next_id()), f32, std::move(shape));
}
Value ids(Graph graph, Shape shape) { return graph.input(fmt::format("t{}", graph.next_id()), i64, std::move(shape)); }

using Losses = Value (*)(const Arg&, const Arg&);
std::function<Value(Graph)> of_pair(Losses losses) {
  return [losses](Graph g) { return losses(floats(g, {4, 6}), floats(g, {4, 6})); };
}

}  // namespace

const std::vector<MadeFunction>& made_functions() {
  static const std::vector<MadeFunction> list{
      {"argmin", "position of the smallest element along an axis",
       [](Graph g) { return argmin(floats(g, {4, 6}), 1); }},
      {"attention_weights", "p_ij = softmax_j(s_ij)",
       [](Graph g) { return attention_weights(floats(g, {1, 4, 2, 3}), floats(g, {1, 4, 2, 3})); }},
      {"bernoulli", "y ~ Bernoulli(p)", [](Graph g) { return bernoulli(floats(g, {4, 6})); }},
      {"binary_cross_entropy_with_logits", "-(t log s(x) + (1 - t) log(1 - s(x))), s(x) = 1 / (1 + e^-x)",
       [](Graph g) { return binary_cross_entropy_with_logits_losses(floats(g, {4, 6}), floats(g, {4, 6})); }},
      {"cosine_embedding_loss", "1 - cos(a, b) where t = 1, max(0, cos(a, b) - margin) where t = -1",
       [](Graph g) { return cosine_embedding_losses(floats(g, {4, 6}), floats(g, {4, 6}), ids(g, {4})); }},
      {"cosine_similarity", "<a, b> / (max(|a|, eps) max(|b|, eps))",
       [](Graph g) { return cosine_similarity(floats(g, {4, 6}), floats(g, {4, 6})); }},
      {"einsum", "sum over the letters that the output lacks",
       [](Graph g) { return einsum("bqd,bkd->bqk", {floats(g, {2, 3, 4}), floats(g, {2, 5, 4})}); }},
      {"glu", "y = a sigmoid(b), [a, b] = x", [](Graph g) { return glu(floats(g, {4, 6})); }},
      {"geglu", "y = a gelu(b), [a, b] = x", [](Graph g) { return geglu(floats(g, {4, 6})); }},
      {"gram", "y = x x^T", [](Graph g) { return gram(floats(g, {4, 6})); }},
      {"group_norm", "each group of channels by its own mean and variance",
       [](Graph g) { return group_norm(floats(g, {4, 6, 3}), 2, {.weight = floats(g, {6}), .bias = floats(g, {6})}); }},
      {"huber_loss", "d^2 / 2 where d = |x - t| <= delta, else delta (d - delta / 2)",
       [](Graph g) { return huber_losses(floats(g, {4, 6}), floats(g, {4, 6})); }},
      {"kl_div", "sum_c p_c (log p_c - log q_c)",
       [](Graph g) { return kl_div_losses(floats(g, {4, 6}), floats(g, {4, 6})); }},
      {"l1_loss", "|x - t|", of_pair(l1_losses)},
      {"logsumexp over axes", "log sum exp(x) over several axes",
       [](Graph g) { return logsumexp(floats(g, {2, 3, 4}), {.axes = {0, 2}}); }},
      {"mse_loss", "(x - t)^2", of_pair(mse_losses)},
      {"one_hot", "y[.., c] = [ids[..] = c]", [](Graph g) { return one_hot(ids(g, {4}), 3, f32); }},
      {"outer", "y[i, j] = a[i] b[j]", [](Graph g) { return outer(floats(g, {3}), floats(g, {4})); }},
      {"padding_mask", "true where token != pad_id", [](Graph g) { return padding_mask(ids(g, {2, 3}), 0); }},
      {"reglu", "y = a relu(b), [a, b] = x", [](Graph g) { return reglu(floats(g, {4, 6})); }},
      {"repeat", "x times[a] times after itself along each axis",
       [](Graph g) { return repeat(floats(g, {4, 6}), {2, 1}); }},
      {"repeat_interleave", "every element `times` times along an axis",
       [](Graph g) { return repeat_interleave(floats(g, {4, 6}), 2, 1); }},
      {"roll", "y[(i + shift) mod n] = x[i]", [](Graph g) { return roll(floats(g, {4, 6}), 2, 1); }},
      {"smooth_l1_loss", "d^2 / (2 beta) where d = |x - t| < beta, else d - beta / 2",
       [](Graph g) { return smooth_l1_losses(floats(g, {4, 6}), floats(g, {4, 6})); }},
      {"soft_cross_entropy", "-sum_c q_c log p_c, p = softmax(logits)",
       [](Graph g) { return soft_cross_entropy(floats(g, {4, 6}), floats(g, {4, 6})).terms[0].sum; }},
      {"split", "pieces along an axis", [](Graph g) { return split(floats(g, {4, 6}), {2, 4}, 1)[1]; }},
      {"stack", "tensors along a new axis", [](Graph g) { return stack({floats(g, {4}), floats(g, {4})}, 0); }},
      {"std_dev", "sqrt(var(x))", [](Graph g) { return std_dev(floats(g, {4, 6}), {.axes = {1}}); }},
      {"swiglu", "y = a silu(b), [a, b] = x", [](Graph g) { return swiglu(floats(g, {4, 6})); }},
      {"var", "sum (x - mean)^2 / (n - correction)", [](Graph g) { return var(floats(g, {4, 6}), {.axes = {1}}); }},
      {"vector_norm", "(sum |x|^p)^(1/p)", [](Graph g) { return vector_norm(floats(g, {4, 6}), {.axes = {1}}); }},
  };
  return list;
}

std::vector<std::string> ops_of(const MadeFunction& function) {
  Graph graph;
  graph.strict(true);
  function.build(graph);
  std::vector<std::string> names;
  for (const NodeId id : graph.ids()) {
    const OpDef& op = *graph.node(id).op;
    if (!op.traits.source && std::ranges::find(names, op.name) == names.end()) names.push_back(op.name);
  }
  return names;
}
