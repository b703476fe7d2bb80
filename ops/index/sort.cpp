#include <weft/ops/index/sort.h>

#include <weft/graph/registry.h>
#include <weft/ops/index/index.h>
#include <weft/ops/index/index_rules.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <numeric>

namespace weft {
using namespace index_rules;
namespace {

// sort is topk of all: only the shape rules differ.
std::vector<TensorType> types_of(const OpView& view, const Dim& count) {
  WEFT_CHECK(view.type(0).dtype != boolean, "an order needs numbers, got {}", view.type(0).str());
  Shape shape = view.shape(0);
  shape[axis_of(view, shape)] = count;
  return {{view.type(0).dtype, shape}, {i64, shape}};
}
std::vector<TensorType> infer_sort(const OpView& view) {
  return types_of(view, view.shape(0)[axis_of(view, view.shape(0))]);
}
std::vector<TensorType> infer_topk(const OpView& view) {
  const std::int64_t k = view.attributes.integer("k"), n = view.shape(0).extent(axis_of(view, view.shape(0)));
  WEFT_CHECK(0 <= k && k <= n, "k must be in 0 to {}, the extent of the axis in {}; got {}", n, view.shape(0).str(), k);
  return types_of(view, k);
}

std::vector<BatchState> batch_rule(const OpView& view, std::span<const BatchState> in) {
  const BatchState& x = in[0];
  const bool apart =
      x.kind == BatchState::Kind::free || (x.kind == BatchState::Kind::split && x.axis != axis_of(view, view.shape(0)));
  const bool kept = x.in_shape() && x.axis != axis_of(view, view.shape(0));
  const BatchState state = apart ? x : kept ? x.as_mixed() : BatchState::mixed();
  return {state, state};
}

std::size_t places(const OpView& view, int threads) {
  return static_cast<std::size_t>(threads * view.shape(0).extent(axis_of(view, view.shape(0)))) * sizeof(std::int64_t);
}

template <class T>
void kernel(KernelContext& context) {
  const Shape& x = context.type(0).shape;
  const int axis = axis_of(context.view(), x);
  const bool descending = context.attributes().flag("descending");
  const std::int64_t n = x.extent(axis), k = context.out_type(0).shape.extent(axis);
  const std::int64_t inner = extent_product(x, axis + 1, x.rank()), outer = extent_product(x, 0, axis);
  for_row_tiles(outer * inner, n, [&](std::int64_t begin, std::int64_t end, int slot) {
    std::int64_t* order = reinterpret_cast<std::int64_t*>(context.workspace()) + slot * n;
    for (std::int64_t line = begin; line < end; ++line) {
      const T* from = context.in<T>(0) + line / inner * n * inner + line % inner;
      const auto number = [&](std::int64_t i) { return static_cast<Wide<T>>(from[i * inner]); };
      const auto below = [](auto a, auto b) { return a < b || (b != b && a == a); };  // NaN is above all
      const auto before = [&](std::int64_t i, std::int64_t j) {
        const auto a = number(i), b = number(j);
        if (descending ? below(b, a) : below(a, b)) return true;
        return !(descending ? below(a, b) : below(b, a)) && i < j;
      };
      std::iota(order, order + n, 0);
      if (k < n) std::partial_sort(order, order + k, order + n, before);
      else std::sort(order, order + n, before);
      const std::int64_t at = line / inner * k * inner + line % inner;
      for (std::int64_t r = 0; r < k; ++r) {
        context.out<T>(0)[at + r * inner] = from[order[r] * inner];
        context.out<std::int64_t>(1)[at + r * inner] = order[r];
      }
    }
  });
}

// The rank of an element is the number of those that come before it; y_r is the element of rank r.
Values plain(const Plain& p) {
  const int axis = normalize_axis(p.attributes.integer("axis"), p.in[0].rank());
  const Value x = axis_last(p.in[0], axis);
  const Value a = unsqueeze(x, -2), b = unsqueeze(x, -1);  // element j beside element i
  const Value index = iota(x.graph(), x.dim(-1)), i = reshape(index, {x.dim(-1), 1});
  const bool descending = p.attributes.flag("descending");
  Value first = descending ? greater(a, b) : less(a, b), same = equal(a, b);
  if (is_float(x.dtype())) {  // NaN is above all
    const Value above = descending ? a : b, below = descending ? b : a;
    first = logical_or(first, logical_and(isnan(above), logical_not(isnan(below))));
    same = logical_or(same, logical_and(isnan(a), isnan(b)));
  }
  const Value before = logical_or(first, logical_and(same, less(index, i)));
  const Value rank = sum(cast(before, i64), {.axes = {-1}});  // [.., i]
  const Value hit =
      equal(unsqueeze(rank, -2), reshape(iota(x.graph(), p.out[0].shape[axis]), {p.out[0].shape[axis], 1}));
  return {axis_back(sum(where(hit, unsqueeze(x, -2), 0.0), {.axes = {-1}}), axis),
          axis_back(sum(where(hit, index, 0.0), {.axes = {-1}}), axis)};
}

// d_x[indices[r]] = d_values[r]
void backward(Backward& b) {
  if (!b.has_cotangent(0)) return;
  const std::int64_t axis = b.attributes().integer("axis");
  b.input(0, build(scatter_add_op(), {b.cotangent(0), b.out(1)}, {{"axis", axis}, {"shape", b.in(0).shape()}}));
}

std::vector<Kernel> kernels() {
  return {{.dtype = f32, .run = kernel<float>, .workspace = places},
          {.dtype = f64, .run = kernel<double>, .workspace = places},
          {.dtype = bf16, .run = kernel<bfloat16>, .workspace = places},
          {.dtype = f16, .run = kernel<float16>, .workspace = places},
          {.dtype = i32, .run = kernel<std::int32_t>, .workspace = places},
          {.dtype = i64, .run = kernel<std::int64_t>, .workspace = places}};
}

Attributes order(std::int64_t axis, bool descending) { return {{"axis", axis}, {"descending", descending}}; }
Attributes best(std::int64_t k, std::int64_t axis, bool largest) { return order(axis, largest).with("k", k); }

}  // namespace

const OpDef& sort_op() {
  static const OpDef op{
      .name = "sort",
      .law = "values[.., r, ..] = the element of rank r along `axis`, indices: where it was",
      .source = "torch.sort, stable",
      .outputs = {"values", "indices"},
      .infer = infer_sort,
      .batch = batch_rule,
      .backward = backward,
      .plain = plain,
      .kernels = kernels(),
      .samples = {{{sample::normal({3, 7}).batched(0)}, order(1, false)},
                  {{sample::normal({5, 3}).batched(1)}, order(0, true)},
                  {{sample::normal({4, 3}).batched(0)}, order(0, false)},
                  {{sample::normal({1})}, order(0, true)},
                  {{sample::ties({4, 30}).batched(0)}, order(-1, false), false},
                  {{sample::ties({4, 30}).batched(0)}, order(-1, true), false},
                  {{sample::integers({2, 40}, -4, 5)}, order(-1, false)},
                  {{sample::extremes({4, 19})}, order(-1, false), false},
                  {{sample::extremes({4, 19})}, order(-1, true), false},
                  {{sample::normal({3, 300})}, order(-1, false), false}},
      .bad_samples = {{{{f32, {3}}}, order(1, false), "axis 1 is outside"},
                      {{{boolean, {3}}}, order(0, false), "needs numbers"}},
  };
  return op;
}

const OpDef& topk_op() {
  static const OpDef op{
      .name = "topk",
      .law = "values[.., r, ..] = the element of rank r along `axis`, r < k, indices: where it was",
      .source = "torch.topk",
      .outputs = {"values", "indices"},
      .infer = infer_topk,
      .batch = batch_rule,
      .backward = backward,
      .plain = plain,
      .kernels = kernels(),
      .samples = {{{sample::normal({3, 7}).batched(0)}, best(3, 1, true)},
                  {{sample::normal({5, 3}).batched(1)}, best(2, 0, true)},
                  {{sample::normal({4})}, best(4, 0, true)},
                  {{sample::normal({4, 5}).batched(0)}, best(1, -1, true)},
                  {{sample::ties({4, 30}).batched(0)}, best(9, -1, true), false},
                  {{sample::extremes({4, 19})}, best(9, -1, true), false},
                  // Not of floats: the smallest leave a NaN out, which is above all numbers.
                  {{sample::integers({2, 40}, -4, 5)}, best(7, -1, false)}},
      .bad_samples = {{{{f32, {3}}}, best(4, 0, true), "k must be in 0 to 3"},
                      {{{f32, {3}}}, best(1, 1, true), "axis 1 is outside"}},
  };
  return op;
}

Sorted sort(const Arg& x, std::int64_t axis, bool descending) {
  const Values y = build_all(sort_op(), {x}, order(axis, descending));
  return {y[0], y[1]};
}
Sorted topk(const Arg& x, std::int64_t k, std::int64_t axis, bool largest) {
  const auto line = called_at({x});
  const Values y = build_all(topk_op(), {x}, best(k, axis, largest));
  return {y[0], y[1]};
}

void register_sort() {
  registry().add(sort_op());
  registry().add(topk_op());
}

}  // namespace weft
