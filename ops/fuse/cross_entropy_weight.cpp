#include <weft/ops/fuse/linear_cross_entropy.h>

#include <weft/ops/index/one_hot.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/loss/cross_entropy_rows.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>

namespace weft {
namespace {

using entropy::TargetRows;

// --- cross_entropy_weight: weight = sum_i w[t_i], rows with t_i = ignore_index left out ---

std::vector<TensorType> weight_infer(const OpView& view) {
  const std::int64_t classes = view.attributes.integer("classes");
  if (view.has(1)) expect_float(view, 1);
  entropy::expect_targets(view, 0, view.shape(0), 1, classes, view.has(1) ? wide(view.type(1).dtype) : f32);
  return {{f64, {}}};
}

std::vector<BatchState> weight_batch(const OpView&, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const bool weights_free = in.size() < 2 || in[1].kind == Kind::free;
  if (in[0].kind == Kind::free && weights_free) return {BatchState{}};
  return {in[0].kind == Kind::split && weights_free ? BatchState::summed() : BatchState::mixed()};
}

template <class W>
double weight_of(const KernelContext& context) {
  const TargetRows<W> problem(context, context.attributes().integer("classes"), 0, 1);
  return entropy::sum_in_blocks(problem.targets.count(), [&](std::int64_t row) {
    return problem.counts(row) ? static_cast<double>(problem.weight(problem.targets[row])) : 0.0;
  });
}
void weight_kernel(KernelContext& context) {
  const bool in_double = context.has(1) && context.type(1).dtype == f64;
  *context.out<double>(0) = in_double ? weight_of<double>(context) : weight_of<float>(context);
}

Values weight_plain(const Plain& p) {
  const Value& targets = p.in[0];
  Value each = cast(not_equal(targets, p.attributes.integer("ignore_index")), f64);
  if (p.in.size() > 1 && !p.in[1].absent()) {
    const Value hot = one_hot(targets, p.in[1].dim(0), f64);
    each = each * sum(hot * cast(p.in[1], f64), {.axes = {-1}});
  }
  return {sum(each)};
}

}  // namespace

const OpDef& cross_entropy_weight_op() {
  using sample::integers, sample::uniform;
  const auto options = [](std::int64_t ignore_index) {
    return Attributes{{"ignore_index", ignore_index}, {"label_smoothing", 0.0}, {"classes", std::int64_t{5}}};
  };
  static const OpDef op{
      .name = "cross_entropy_weight",
      .law = "weight = sum_i w[t_i], rows with t_i = ignore_index left out",
      .outputs = {"weight"},
      .least_inputs = 1,
      .most_inputs = 2,
      .infer = weight_infer,
      .batch = weight_batch,
      .plain = weight_plain,
      .terms = linear_in({1}, {{0}}),
      .wide_operands = {1},
      .traits = {.refuses = true},
      .kernels = {{.dtype = i64, .run = weight_kernel}, {.dtype = i32, .run = weight_kernel}},
      .samples = {{{integers({40}, 0, 5).batched(0)}, options(2)},
                  {{integers({2, 20}, 0, 5).batched(1), uniform({5}, 0.5, 2)}, options(1)}},
      .bad_samples = {{{{f32, {4}}}, options(1), "i32 or i64"},
                      {{{i64, {4}}, {f32, {4}}}, options(1), "the class weights must be [5]"}},
  };
  return op;
}

}  // namespace weft
