#include <weft/ops/pointwise/activation_op.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>

namespace weft {
namespace {

using sample::extremes;
using sample::normal;
using sample::uniform;

std::vector<Sample> samples(const ActivationText& text) {
  std::vector<Sample> all;
  for (const auto& [low, high] : text.smooth) {
    all.push_back({{uniform({3, 5}, low, high).batched(0)}, text.attributes});
    all.push_back({{uniform({2, 4, 9}, low, high).batched(1)}, text.attributes});
  }
  all.push_back({{uniform({}, text.smooth[0].first, text.smooth[0].second)}, text.attributes});
  all.push_back({{normal({3, 6001}, 0, 4)}, text.attributes, false});
  all.push_back({{extremes({2, 40})}, text.attributes, false});
  return all;
}

std::vector<Sample> grad_samples(const ActivationText& text) {
  std::vector<Sample> all;
  for (const auto& [low, high] : text.smooth)
    all.push_back({{uniform({3, 5}, low, high).batched(0), normal({3, 5}).batched(0)}, text.attributes});
  all.push_back({{uniform({}, text.smooth[0].first, text.smooth[0].second), normal({})}, text.attributes});
  all.push_back({{normal({3, 6001}, 0, 4), normal({3, 6001})}, text.attributes, false});
  return all;
}

std::vector<BadSample> bad_samples(const ActivationText& text, std::vector<BadSample> first) {
  for (const BadSample& bad : text.bad_samples) {
    first.push_back(bad);
    first.back().inputs.assign(first.front().inputs.size(), {f32, {3}});
  }
  return first;
}

}  // namespace

OpDef activation(ActivationText text, const OpDef& (*grad)(), PlainRule plain, std::vector<Kernel> kernels) {
  return {.name = text.name,
          .law = text.law,
          .infer =
              [check = text.check](const OpView& view) {
                if (check != nullptr) check(view.attributes);
                return same_as_float_input(view);
              },
          .batch = same_axis,
          .backward = [grad](Backward& b) { b.input(0, build(grad(), {b.in(0), b.cotangent(0)}, b.attributes())); },
          .plain = std::move(plain),
          .traits = {.pointwise = true, .in_place = {{0, 0}}},
          .kernels = std::move(kernels),
          .samples = samples(text),
          .bad_samples = bad_samples(text, {{{{i64, {3}}}, text.attributes, "floating type"}})};
}

OpDef activation_grad(ActivationText text, PlainRule plain, std::vector<Kernel> kernels) {
  return {.name = text.name,
          .law = text.law,
          .least_inputs = 2,
          .most_inputs = 2,
          .infer = [check = text.check](const OpView& view) -> std::vector<TensorType> {
            if (check != nullptr) check(view.attributes);
            expect_float(view, 0);
            WEFT_CHECK(view.type(0) == view.type(1), "x and d_y must be of one type, got {} and {}", view.type(0).str(),
                       view.type(1).str());
            return {view.type(0)};
          },
          .batch = same_axis,
          .plain = std::move(plain),
          .terms = linear_in({1}, {{0}}),
          .traits = {.pointwise = true, .in_place = {{0, 1}, {0, 0}}},
          .kernels = std::move(kernels),
          .samples = grad_samples(text),
          .bad_samples = bad_samples(text, {{{{f32, {3}}, {f32, {4}}}, text.attributes, "of one type"},
                                            {{{i64, {3}}, {i64, {3}}}, text.attributes, "floating type"}})};
}

}  // namespace weft
