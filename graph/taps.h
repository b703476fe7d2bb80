// Taps: values that a step publishes for inspection (as by forward hooks), and that remove_taps() takes out again.
// nn/attention_taps.h and optim/gates.h add them.
#pragma once

#include <weft/graph/step.h>

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

namespace fact {
/// Taps read the gradients (until remove_taps()), so these cannot be derived again.
inline constexpr KnownFact tapped_gradients{"tap gradients", "taps already read the gradients", "a tap of gradients"};
}  // namespace fact

/// While it lives, new nodes belong to a tap: their paths begin with "tap/PATH", their provenance is (pass, origin).
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

/// The step without its taps: removes their fetches and the nodes under "tap/" that nothing else reads. Same bits of
/// everything else, at any point of a chain. UserError: there are no taps.
Transform remove_taps(std::source_location where = std::source_location::current());

}  // namespace weft
