// Taps: values that a step publishes for somebody who looks inside, and that can be taken out again without a trace.
// nn/attention_taps.h and optim/gates.h put them in.
#pragma once

#include <weft/graph/step.h>

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

namespace fact {
/// What reads gradients is tapped (until remove_taps()): they cannot be derived anew.
inline constexpr KnownFact tapped_gradients{"tap gradients", "taps already read the gradients", "a tap of gradients"};
}  // namespace fact

/// While it lives, nodes belong to a tap: their paths begin with "tap/PATH" and they were made by `pass`, from
/// `origin`.
class TapScope {
 public:
  TapScope(Graph graph, std::string_view path, std::string_view pass, NodeId origin);

 private:
  Scope path_, origin_;
};

/// Publishes `value` as `name` until remove_taps(). UserError: the step publishes that name already.
void add_tap(Step& step, const std::string& name, const Value& value);
/// Numbers that are known when the step is built, as an i64 constant.
void add_tap(Step& step, const std::string& name, const std::vector<std::int64_t>& numbers);
/// The names of the taps of a step, sorted.
std::vector<std::string> taps_of(const Step& step);

/// The step without its taps: the fetches are gone, and of the nodes under "tap/" those that nothing else reads. What
/// is left runs as it did before. Same bits of everything else, at any point of a chain. UserError: there are no taps.
Transform remove_taps(std::source_location where = std::source_location::current());

}  // namespace weft
