// A sample in other sizes. Private to inspect/.
#pragma once

#include <weft/graph/op_def.h>

#include <cstdint>
#include <map>
#include <utility>
#include <variant>

namespace weft {

using ExtentMap = std::map<std::int64_t, std::int64_t>;

inline std::int64_t mapped(std::int64_t extent, const ExtentMap& map) {
  const auto found = map.find(extent);
  return found == map.end() ? extent : found->second;
}

/// The sample with each extent of its operands, and each equal number in a shape among its attributes, replaced. What
/// the shape rule makes of the result is its affair: it may refuse.
inline Sample with_extents(const Sample& sample, const ExtentMap& map) {
  Sample made = sample;
  for (SampleInput& input : made.inputs) {
    for (std::int64_t& extent : input.extents) extent = mapped(extent, map);
    // A named extent is at least 1.
    if (input.batch_axis >= 0 && input.extents[static_cast<std::size_t>(input.batch_axis)] == 0) input.batch_axis = -1;
  }
  Attributes attributes;
  for (const Attributes::Entry& entry : sample.attributes) {
    Attribute value = entry.value;
    if (auto* shape = std::get_if<Shape>(&value))
      for (int axis = 0; axis < shape->rank(); ++axis) {
        Dim dim = 1;
        for (const Dim::Factor& factor : (*shape)[axis].factors()) {
          const std::int64_t extent = mapped(factor.value, map);
          dim = dim * (extent > 0 ? Dim::named(factor.symbol.name(), extent) : Dim(0));
        }
        (*shape)[axis] = dim * Dim(mapped((*shape)[axis].number(), map));
      }
    attributes.set(entry.name, std::move(value));
  }
  made.attributes = attributes;
  return made;
}

}  // namespace weft
