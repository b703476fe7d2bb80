#include <weft/testing/values.h>

#include <weft/graph/graph.h>
#include <weft/inspect/divergence/compare.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace weft::testing {
namespace {

std::uint64_t bits_of(const Tensor& tensor, std::int64_t element) {
  const std::size_t width = size_of(tensor.dtype());
  std::uint64_t bits = 0;
  std::memcpy(&bits, tensor.raw() + static_cast<std::size_t>(element) * width, width);
  return bits;
}

// Numbers of the type in their order, so that neighbours differ by 1; both zeros are 0.
std::int64_t ordinal(std::uint64_t bits, std::size_t width) {
  const std::uint64_t sign = std::uint64_t{1} << (8 * width - 1);
  const auto magnitude = static_cast<std::int64_t>(bits & (sign - 1));
  return (bits & sign) != 0 ? -magnitude : magnitude;
}

std::string at_str(std::int64_t element, const Tensor& tensor) {
  const std::string index = index_str(element, tensor.extents());
  return index.empty() ? "the scalar" : "element " + index;
}

// One NaN for all: its sign says nothing to a person.
std::string plain_str(double x, int digits) { return std::isnan(x) ? "NaN" : fmt::format("{:.{}g}", x, digits); }

std::string number_str(const Tensor& tensor, std::int64_t element) {
  const auto digits = static_cast<int>(2 * size_of(tensor.dtype()));
  return fmt::format("{} (0x{:0{}x})", plain_str(tensor.at(element), 17), bits_of(tensor, element), digits);
}

std::string shape_str(const std::vector<std::int64_t>& extents) {
  std::string text;
  for (const std::int64_t extent : extents)
    text += (text.empty() ? "" : ", ") + (extent < 0 ? "any" : fmt::format("{}", extent));
  return "[" + text + "]";
}

// What is wrong with the extents; "" if nothing.
std::string misfit(const std::vector<std::int64_t>& got, const std::vector<std::int64_t>& expected) {
  if (got.size() != expected.size())
    return fmt::format("it has {} axes, expected {} as in {}", got.size(), expected.size(), shape_str(expected));
  std::string text;
  for (std::size_t axis = 0; axis < got.size(); ++axis)
    if (expected[axis] >= 0 && got[axis] != expected[axis])
      text += fmt::format("{}axis {} is {}, expected {}", text.empty() ? "" : "; ", axis, got[axis], expected[axis]);
  return text.empty() ? text : text + " as in " + shape_str(expected);
}

struct Tolerance {
  double rtol = 0, atol = 0;
};
Tolerance torch_tolerance(DType type) {
  switch (type) {
    case DType::f16:
      return {1e-3, 1e-5};
    case DType::bf16:
      return {1.6e-2, 1e-5};
    case DType::f32:
      return {1.3e-6, 1e-5};
    case DType::f64:
      return {1e-7, 1e-7};
    default:
      return {};
  }
}

}  // namespace

Outcome all_finite(const Tensor& tensor) {
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    if (!std::isfinite(tensor.at(i)))
      return {false, fmt::format("{} is {}; all of it: {}", at_str(i, tensor),
                                 std::isnan(tensor.at(i)) ? "NaN"
                                 : tensor.at(i) > 0       ? "infinite"
                                                          : "-infinite",
                                 range_str(tensor))};
  return {true, range_str(tensor)};
}

Outcome bits_agree(const Tensor& found, const Tensor& expected) {
  if (found.dtype() != expected.dtype() || found.extents() != expected.extents())
    return {false, fmt::format("it is {}, expected {}", found.type_str(), expected.type_str())};
  const std::size_t width = size_of(found.dtype());
  std::int64_t differing = 0, first = 0, most_ulps = 0, not_finite = 0;
  for (std::int64_t i = 0; i < found.size(); ++i) {
    const std::uint64_t a = bits_of(expected, i), b = bits_of(found, i);
    if (a == b) continue;
    if (differing++ == 0) first = i;
    if (is_float(found.dtype()) && std::isfinite(found.at(i)) && std::isfinite(expected.at(i)))
      most_ulps = std::max(most_ulps, std::abs(ordinal(a, width) - ordinal(b, width)));
    else ++not_finite;
  }
  if (differing == 0) return {true, fmt::format("the same {} elements", found.size())};
  std::string text =
      fmt::format("{} of {} elements differ; the first, {}: got {}, expected {}", differing, found.size(),
                  at_str(first, found), number_str(found, first), number_str(expected, first));
  if (is_float(found.dtype())) {
    if (std::isfinite(found.at(first)) && std::isfinite(expected.at(first)))
      text += found.at(first) == expected.at(first)
                  ? ", zeros of either sign"
                  : fmt::format(", {} ulps apart", std::abs(ordinal(bits_of(found, first), width) -
                                                            ordinal(bits_of(expected, first), width)));
    if (differing > not_finite) text += fmt::format("; at most {} ulps", most_ulps);
    if (not_finite > 0) text += fmt::format("; {} of them are not finite on one side or both", not_finite);
  }
  return {false, text};
}

Outcome bits_agree(const std::vector<Tensor>& found, const std::vector<Tensor>& expected) {
  if (found.size() != expected.size())
    return {false, fmt::format("there are {} tensors, expected {}", found.size(), expected.size())};
  std::string text;
  for (std::size_t i = 0; i < found.size(); ++i)
    if (const Outcome one = bits_agree(found[i], expected[i]); !one)
      text += fmt::format("{}tensor {}: {}", text.empty() ? "" : "\n", i, one.text);
  return {text.empty(), text.empty() ? fmt::format("the same {} tensors", found.size()) : text};
}

Outcome close_to(const Tensor& found, const Tensor& expected, std::optional<double> rtol, std::optional<double> atol) {
  const Tolerance usual = torch_tolerance(expected.dtype());
  const double relative = rtol.value_or(usual.rtol), absolute = atol.value_or(usual.atol);
  WEFT_CHECK(relative >= 0 && absolute >= 0, "tolerances are at least 0, got rtol {} and atol {}", relative, absolute);
  if (found.dtype() != expected.dtype() || found.extents() != expected.extents())
    return {false, fmt::format("it is {}, expected {}", found.type_str(), expected.type_str())};
  std::int64_t off = 0, at_absolute = 0, at_relative = 0;
  double most_absolute = -1, most_relative = -1;
  std::int64_t not_finite = 0, first_bad = 0;
  for (std::int64_t i = 0; i < found.size(); ++i) {
    const double a = expected.at(i), b = found.at(i);
    if (a == b) continue;
    if (!std::isfinite(a) || !std::isfinite(b)) {
      if (not_finite++ == 0) first_bad = i;
      continue;
    }
    const double error = std::abs(a - b);
    if (error <= absolute + relative * std::abs(a)) continue;
    ++off;
    if (error > most_absolute) most_absolute = error, at_absolute = i;
    const double by = a == 0 ? std::numeric_limits<double>::infinity() : error / std::abs(a);
    if (by > most_relative) most_relative = by, at_relative = i;
  }
  if (off + not_finite == 0) return {true, fmt::format("within rtol {:g} and atol {:g}", relative, absolute)};
  const auto pair_str = [&](std::int64_t i) {
    return fmt::format("got {}, expected {}", plain_str(found.at(i), 9), plain_str(expected.at(i), 9));
  };
  std::string text = fmt::format("mismatched elements: {} / {} ({:.1f}%)", off + not_finite, found.size(),
                                 100.0 * static_cast<double>(off + not_finite) / static_cast<double>(found.size()));
  if (not_finite > 0)
    text += fmt::format("\nnot finite on one side or both: {}, the first at {}: {}", not_finite,
                        at_str(first_bad, found), pair_str(first_bad));
  if (off > 0)
    text += fmt::format(
        "\ngreatest absolute difference: {:.6g} at {} (up to {:g} allowed): {}"
        "\ngreatest relative difference: {:.6g} at {} (up to {:g} allowed): {}",
        most_absolute, at_str(at_absolute, found), absolute, pair_str(at_absolute), most_relative,
        at_str(at_relative, found), relative, pair_str(at_relative));
  return {false, text};
}

Outcome has_shape(const Value& value, const std::vector<std::int64_t>& extents) {
  if (!value.valid()) {
    std::string text = value.absent() ? "it is an absent value" : "it failed to build";
    if (!value.absent())
      for (const Problem& problem : value.graph().problems()) text += "\n  " + problem.str();
    return {false, text};
  }
  const std::string wrong = misfit(value.shape().extents(), extents);
  if (wrong.empty()) return {true, place_str(value)};
  std::string text = place_str(value) + ": " + wrong;
  const Graph graph = value.graph();
  for (const ValueRef ref : value.node().operands)
    if (ref.node != no_node) text += "\n  made from " + place_str(graph.value(ref));
  return {false, text};
}

Outcome has_shape(const Tensor& tensor, const std::vector<std::int64_t>& extents) {
  const std::string wrong = misfit(tensor.extents(), extents);
  return {wrong.empty(), wrong.empty() ? tensor.type_str() : tensor.type_str() + ": " + wrong};
}

}  // namespace weft::testing
