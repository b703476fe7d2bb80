#include <weft/ops/kit/reference.h>

#include <array>
#include <tuple>
#include <utility>

namespace weft {
namespace {

template <std::size_t n, class F>
ReferenceRule broadcast_law(F f) {
  return [f](const OpView& view, Operands in) {
    std::vector<double> y;
    each_element(view.out_type(0).shape, [&](std::int64_t, const Indices& at) {
      std::array<double, n> x;
      for (std::size_t i = 0; i < n; ++i) x[i] = element(in[i], view.shape(static_cast<int>(i)), at);
      y.push_back(std::apply(f, x));
    });
    return y;
  };
}

}  // namespace

std::int64_t offset_of(const Indices& at, const Shape& shape) {
  const std::size_t in_front = at.size() - static_cast<std::size_t>(shape.rank());
  std::int64_t offset = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const std::int64_t extent = shape.extent(axis);
    offset = offset * extent + (extent == 1 ? 0 : at[in_front + static_cast<std::size_t>(axis)]);
  }
  return offset;
}

ReferenceRule law_of(double (*f)(double)) { return broadcast_law<1>(f); }
ReferenceRule law_of(double (*f)(double, double)) { return broadcast_law<2>(f); }
ReferenceRule law_of(double (*f)(double, double, double)) { return broadcast_law<3>(f); }

double element(const std::vector<double>& x, const Shape& shape, const Indices& at) {
  return x.at(static_cast<std::size_t>(offset_of(at, shape)));
}

ReferenceRule moved(std::function<std::optional<From>(const OpView&, Operands, Indices)> from) {
  return [from = std::move(from)](const OpView& view, Operands in) {
    std::vector<double> y;
    each_element(view.out_type(0).shape, [&](std::int64_t, const Indices& at) {
      const std::optional<From> x = from(view, in, at);
      y.push_back(x ? element(in[x->operand], view.shape(static_cast<int>(x->operand)), x->at) : 0);
    });
    return y;
  };
}

std::vector<double> unmoved(const OpView&, Operands in) { return in[0]; }

ReferenceRule gathered_sums(std::function<std::optional<Indices>(const OpView&, Operands, Indices)> to) {
  return [to = std::move(to)](const OpView& view, Operands in) {
    std::vector<Extended> sums(static_cast<std::size_t>(view.out_type(0).count()), 0);
    each_element(view.shape(0), [&](std::int64_t i, const Indices& at) {
      if (const std::optional<Indices> sum = to(view, in, at))
        sums.at(static_cast<std::size_t>(offset_of(*sum, view.out_type(0).shape))) +=
            in[0][static_cast<std::size_t>(i)];
    });
    return std::vector<double>(sums.begin(), sums.end());
  };
}

ReferenceRule folded(Fold fold) {
  return [fold](const OpView& view, Operands in) {
    const Shape& shape = view.shape(0);
    const auto rank = static_cast<std::size_t>(shape.rank());
    std::vector<bool> goes(rank, view.attributes.integers("axes").empty());
    for (const std::int64_t axis : view.attributes.integers("axes"))
      goes[static_cast<std::size_t>(normalize_axis(axis, shape.rank()))] = true;
    Shape kept = shape;
    for (std::size_t axis = 0; axis < rank; ++axis)
      if (goes[axis]) kept[static_cast<int>(axis)] = 1;
    std::vector<Extended> totals(static_cast<std::size_t>(kept.count()), fold.start);
    std::vector<Extended> counts(totals.size(), 0);
    each_element(shape, [&](std::int64_t i, const Indices& at) {
      const auto k = static_cast<std::size_t>(offset_of(at, kept));
      totals[k] = fold.combine(totals[k], in[0][static_cast<std::size_t>(i)]);
      counts[k] += 1;
    });
    std::vector<double> y;
    for (std::size_t i = 0; i < totals.size(); ++i)
      y.push_back(static_cast<double>(fold.finish == nullptr ? totals[i] : fold.finish(totals[i], counts[i])));
    return y;
  };
}

}  // namespace weft
