// Random steps for the planner: ops of random sizes with several outputs, views, outputs that may overwrite an operand,
// workspaces, states that are updated in place. They run: results can be compared.
#pragma once

#include <weft/graph/step.h>

#include <cstdint>

namespace random_steps {

enum class Kind {
  local,     // operands are among the last few values
  global,    // operands are any values
  mirrored,  // the second half reads the first half backwards, as a backward pass does
  chains     // several chains that meet now and then
};
constexpr Kind kinds[] = {Kind::local, Kind::global, Kind::mirrored, Kind::chains};

struct Settings {
  Kind kind = Kind::local;
  int nodes = 100;              // about
  std::int64_t most = 4096;     // elements of a value; sizes are spread evenly in their logarithm
  double smallest_share = 0.3;  // of the values are of a few elements
};

/// Without inputs; fetches "0", "1", ... and updates of states. The same step for the same seed and settings.
weft::Step make(std::uint64_t seed, const Settings& settings);

}  // namespace random_steps
