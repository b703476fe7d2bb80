// The parts of an audit, one for each thing that it looks for. Private to inspect/.
#pragma once

#include <weft/inspect/audit/audit.h>

#include <vector>

namespace weft {

/// Fills Row::paths, blocks, cuts, and the findings about cuts: one walk forwards (which parameters a value carries),
/// one back (how many paths lead from it to the loss, and through which blocks).
void find_paths(const Step& step, Audit& audit);
/// Parameters that the loss does not read, that no optimizer changes, or whose gradient is 0 by construction.
void find_idle_parameters(const Step& step, Audit& audit);
/// Values made from a parameter that nothing reads.
void find_unused_outputs(const Step& step, Audit& audit);
/// The user's nodes that compute what others have computed.
void find_duplicates(const Step& step, Audit& audit);
/// Nodes between the inputs and the loss in which examples meet.
void find_mixed_batch(const Step& step, Audit& audit);

/// "a", "a and b", "a, b and 3 more".
std::string some_of(const std::vector<std::string>& names);

}  // namespace weft
