// What cross_entropy and linear_cross_entropy share: checks, the loss and the gradient of one row of logits, sums over
// rows. Private to those files.
#pragma once

#include <weft/ops/index/ids.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/wide.h>

#include <algorithm>
#include <cmath>

namespace weft::entropy {

/// Checks the targets of rows of `classes` logits, their class weights (of type `dtype`; operand `weights` may be
/// absent) and the label smoothing; throws UserError.
inline void expect_targets(const OpView& view, int targets, const Shape& rows, int weights, Dim classes, DType dtype) {
  expect_integer(view, targets);
  expect_shape(view, targets, rows, "the targets");
  const double smoothing = view.attributes.number("label_smoothing");
  WEFT_CHECK(0 <= smoothing && smoothing <= 1, "label_smoothing must be in [0, 1], got {}", smoothing);
  if (!view.has(weights)) return;
  expect_shape(view, weights, {classes}, "the class weights");
  expect_dtype(view, weights, dtype);
}

// What the kernels know of a node: W is f64 for f64 logits, else f32.
template <class W>
struct TargetRows {
  std::int64_t classes, ignore;
  W smoothing;
  const W* weights;
  Ids targets;
  double weight_total;

  TargetRows(const KernelContext& context, std::int64_t classes, int targets_operand, int weights_operand)
      : classes(classes),
        ignore(context.attributes().integer("ignore_index")),
        smoothing(static_cast<W>(context.attributes().number("label_smoothing"))),
        weights(context.in<W>(weights_operand)),
        targets(context, targets_operand, classes, "target", "class"),
        weight_total(weights != nullptr ? simd<W>().sum_f64(weights, classes) : static_cast<double>(classes)) {}
  bool counts(std::int64_t row) const { return targets.unchecked(row) != ignore; }
  W weight(std::int64_t target) const { return weights != nullptr ? weights[target] : W(1); }
};

/// The results of one row.
struct RowLoss {
  double loss = 0, weight = 0, logsumexp = 0;
};

/// losses_i = (1 - e) w[t] (lse - x[t]) + (e / C) (lse sum_c w[c] - sum_c w[c] x[c]), x of row `row`
template <class W>
RowLoss row_loss(const TargetRows<W>& problem, std::int64_t row, const W* x) {
  const Simd<W>& v = simd<W>();
  const std::int64_t classes = problem.classes;
  const W peak = v.max(x, classes), highest = std::isinf(peak) ? W(0) : peak;
  const double log_total = std::log(sum_exp(x, highest, classes));
  RowLoss result{.logsumexp = log_total + static_cast<double>(highest)};
  if (!problem.counts(row)) return result;
  const std::int64_t target = problem.targets[row];
  result.weight = static_cast<double>(problem.weight(target));
  const double w = result.weight, e = static_cast<double>(problem.smoothing);
  // From the maximum, so that large logits cost no digits.
  result.loss = (1 - e) * w * (log_total - static_cast<double>(x[target] - highest));
  if (e > 0) {
    const double inner = problem.weights != nullptr ? v.dot_f64(problem.weights, x, classes) : v.sum_f64(x, classes);
    const double all = problem.weight_total;
    result.loss += e / static_cast<double>(classes) * (all * log_total - (inner - all * static_cast<double>(highest)));
  }
  return result;
}

/// With p = softmax(x), 0 for rows that do not count; `out` may be `in`:
/// d_x[c] = g (((1 - e) w[t] + (e / C) sum_c w[c]) p[c] - (1 - e) w[t] [c = t] - (e / C) w[c])
/// p comes from the row itself: of one rounded logsumexp beside large logits no digit of it would be left.
/// `buffer`: `classes` numbers where T is computed in another type.
template <class T, class W = Wide<T>>
void row_gradient(const TargetRows<W>& problem, std::int64_t row, const T* in, W g, W* buffer, T* out) {
  const Simd<W>& v = simd<W>();
  const std::int64_t classes = problem.classes;
  if (!problem.counts(row)) {
    std::fill_n(out, classes, T{});
    return;
  }
  constexpr std::int64_t block = 1024;
  W shares[block];
  W* d_x = wide_target(out, buffer);
  const W* x = widened(in, buffer, classes);
  const W highest = v.max(x, classes);
  double total = 0;
  for (std::int64_t first = 0; first < classes; first += block)
    total += static_cast<double>(v.exp_sum(x + first, W(1), highest, d_x + first, std::min(block, classes - first)));
  const std::int64_t target = problem.targets[row];
  const W hot = (1 - problem.smoothing) * problem.weight(target);
  const W even = problem.smoothing / static_cast<W>(classes);
  const W whole = g * (hot + even * static_cast<W>(problem.weight_total));
  v.scale(d_x, static_cast<W>(static_cast<double>(whole) / total), d_x, classes);
  if (even > 0 && problem.weights == nullptr) v.add_scalar(d_x, -g * even, d_x, classes);
  if (even > 0 && problem.weights != nullptr)
    for (std::int64_t first = 0; first < classes; first += block) {
      const std::int64_t count = std::min(block, classes - first);
      v.scale(problem.weights + first, g * even, shares, count);
      v.subtract(d_x + first, shares, d_x + first, count);
    }
  d_x[target] -= g * hot;
  store(d_x, out, classes);
}

/// Rows of a block of a sum over rows.
inline constexpr std::int64_t sum_rows = 16;

/// The sum of value(i), i < count, in double: blocks of sum_rows, then the blocks in order.
template <class F>
double sum_in_blocks(std::int64_t count, F&& value) {
  double total = 0;
  for (std::int64_t begin = 0; begin < count; begin += sum_rows) {
    double sum = 0;
    for (std::int64_t i = begin; i < std::min(count, begin + sum_rows); ++i) sum += value(i);
    total += sum;
  }
  return total;
}

}  // namespace weft::entropy
