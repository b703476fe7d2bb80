#include <weft/ops/index/index.h>

#include <weft/ops/index/ids.h>
#include <weft/ops/index/index_rules.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>

#include <cstring>

namespace weft {
using namespace index_rules;
namespace {

// --- take(x, ids): y[..] = x[ids[..]], x as if it were flat ---

std::vector<TensorType> infer_take(const OpView& view) {
  expect_integer(view, 1);
  return {{view.type(0).dtype, view.shape(1)}};
}

// Examples stay apart where the ids alone have them: ids into a table of examples may point anywhere.
std::vector<BatchState> batch_take(const OpView&, std::span<const BatchState> in) {
  if (in[0].kind == BatchState::Kind::free) return {in[1].kind == BatchState::Kind::free ? in[0] : in[1]};
  return {in[1].in_shape() ? in[1].as_mixed() : BatchState::mixed()};
}

template <std::size_t size>
void move(const std::byte* x, const Ids& ids, std::byte* y, std::int64_t begin, std::int64_t n) {
  for (std::int64_t i = begin; i < begin + n; ++i)
    std::memcpy(y + static_cast<std::size_t>(i) * size, x + static_cast<std::size_t>(ids[i]) * size, size);
}

void take_kernel(KernelContext& context) {
  const Ids ids(context, 1, context.type(0).count(), "id", "element of the flat operand");
  const std::byte* x = context.in_bytes(0);
  std::byte* y = context.out_bytes(0);
  for_tiles(ids.count(), [&](std::int64_t begin, std::int64_t n) {
    switch (size_of(context.type(0).dtype)) {
      case 1:
        return move<1>(x, ids, y, begin, n);
      case 2:
        return move<2>(x, ids, y, begin, n);
      case 4:
        return move<4>(x, ids, y, begin, n);
      default:
        return move<8>(x, ids, y, begin, n);
    }
  });
}

Value flat(const Value& x) {
  Dim count(1);
  for (const Dim& dim : x.shape()) count = count * dim;
  return reshape(x, {count});
}

Values take_plain(const Plain& p) { return reshape(index_select(flat(p.in[0]), 0, flat(p.in[1])), p.in[1].shape()); }

}  // namespace

const OpDef& take_op() {
  using sample::integers, sample::normal;
  static const OpDef op{
      .name = "take",
      .law = "y[..] = x[ids[..]], x as if it were flat",
      .source = "torch.take",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = infer_take,
      .batch = batch_take,
      .backward =
          [](Backward& b) {
            const Value x = flat(b.in(0)), ids = flat(b.in(1));
            const Attributes into{{"axis", std::int64_t{0}}, {"shape", x.shape()}};
            b.input(0, reshape(build(scatter_add_op(), {flat(b.cotangent(0)), ids}, into), b.in(0).shape()));
          },
      .plain = take_plain,
      .terms = linear_in({0}, {{1}}),
      .traits = {.refuses = true},
      .kernels =
          index_kernels<take_kernel, take_kernel, take_kernel, take_kernel, take_kernel, take_kernel, take_kernel>(),
      .samples = {{{normal({4, 3}), integers({5, 2}, 0, 12).batched(0)}},
                  {{normal({6}), integers({}, 0, 6)}},
                  {{normal({1}), integers({3}, 0, 1)}},
                  {{normal({70, 30}), integers({90, 300}, 0, 2100)}, {}, false},
                  {{sample::extremes({9, 4}), integers({12}, 0, 36)}, {}, false}},
      .bad_samples = {{{{f32, {3}}, {f32, {3}}}, {}, "i32 or i64"}},
  };
  return op;
}

Value take(const Arg& x, const Arg& ids) { return build(take_op(), {x, ids}); }

}  // namespace weft
