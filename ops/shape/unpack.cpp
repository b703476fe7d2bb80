#include <weft/ops/shape/unpack.h>

#include <weft/graph/registry.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/kernel.h>

#include <array>
#include <cstring>

namespace weft {
namespace {

// --- unpack: q, k, v = x[.., :a], x[.., a:a + b], x[.., a + b:];  d_x = d_q, d_k, d_v side by side -------------------

std::array<std::int64_t, 3> parts_of(const OpView& view) {
  const std::int64_t q = view.attributes.integer("q"), k = view.attributes.integer("k");
  return {q, k, view.shape(0).extent(-1) - q - k};
}

std::vector<TensorType> infer(const OpView& view) {
  WEFT_CHECK(view.shape(0).rank() > 0, "expected rows to cut, got {}", view.type(0).str());
  std::vector<TensorType> types;
  for (const std::int64_t n : parts_of(view)) {
    WEFT_CHECK(n > 0, "rows of {} elements cannot be cut into {}, {} and the rest", view.shape(0).extent(-1),
               view.attributes.integer("q"), view.attributes.integer("k"));
    types.push_back(view.type(0));
    types.back().shape[-1] = n;
  }
  return types;
}

std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  const bool cut = in[0].in_shape() && in[0].axis == view.shape(0).rank() - 1;
  return every_output(view, cut ? BatchState::mixed() : in[0]);
}

void kernel(KernelContext& context) {
  const auto parts = parts_of(context.view());
  const std::size_t size = size_of(context.type(0).dtype);
  const std::int64_t width = context.type(0).shape.extent(-1), rows = context.type(0).count() / width;
  for_row_tiles(rows, width, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::byte* from = context.in_bytes(0) + static_cast<std::size_t>(r * width) * size;
      for (int i = 0; i < 3; ++i) {
        const std::size_t bytes = static_cast<std::size_t>(parts[static_cast<std::size_t>(i)]) * size;
        std::memcpy(context.out_bytes(i) + static_cast<std::size_t>(r) * bytes, from, bytes);
        from += bytes;
      }
    }
  });
}

Values plain(const Plain& p) {
  const std::int64_t q = p.attributes.integer("q"), k = p.attributes.integer("k");
  return {slice(p.in[0], {.axis = -1, .stop = q}), slice(p.in[0], {.axis = -1, .start = q, .stop = q + k}),
          slice(p.in[0], {.axis = -1, .start = q + k})};
}

Attributes sizes(std::int64_t q, std::int64_t k) { return {{"q", q}, {"k", k}}; }

}  // namespace

const OpDef& unpack_op() {
  using sample::integers, sample::normal;
  std::vector<Kernel> kernels;
  for (DType dtype : {f32, f64, bf16, f16, i32, i64, boolean}) kernels.push_back({.dtype = dtype, .run = kernel});
  static const OpDef op{
      .name = "unpack",
      .law = "q, k, v = the first elements of each row of x, the next, and the rest",
      .outputs = {"q", "k", "v"},
      .infer = infer,
      .batch = batch,
      .backward = [](Backward& b) { b.input(0, concatenate({b.cotangent(0), b.cotangent(1), b.cotangent(2)}, -1)); },
      .plain = plain,
      .terms = terms_are({{.output = 0, .factors = {0}}, {.output = 1, .factors = {0}}, {.output = 2, .factors = {0}}}),
      .kernels = std::move(kernels),
      .samples = {{{normal({3, 9}).batched(0)}, sizes(2, 3)},
                  {{normal({2, 4, 6}).batched(1)}, sizes(2, 2)},
                  {{normal({5})}, sizes(1, 1)},
                  {{normal({90, 1, 200})}, sizes(70, 1), false},
                  {{integers({3, 5}, -9, 9)}, sizes(3, 1)},
                  {{sample::extremes({2, 18})}, sizes(5, 9), false}},
      .bad_samples = {{{{f32, {}}}, sizes(1, 1), "rows to cut"},
                      {{{f32, {3, 5}}}, sizes(3, 2), "rows of 5 elements cannot be cut into 3, 2 and the rest"},
                      {{{f32, {3, 5}}}, sizes(0, 2), "cannot be cut into 0, 2"}},
  };
  return op;
}

Values unpack(const Arg& x, std::int64_t q, std::int64_t k) { return build_all(unpack_op(), {x}, sizes(q, k)); }

void register_unpack() { registry().add(unpack_op()); }

}  // namespace weft
