// The time of each node of a run, beside the limit of the machine.
#pragma once

#include <weft/graph/graph.h>
#include <weft/runtime/cost_model.h>

#include <iosfwd>
#include <string>
#include <vector>

namespace weft {

struct ProfileOptions {
  int runs = 3;                               ///< each of them trains; a node's time is the shortest
  MachineRates limit = {.product_flops = 0};  ///< product_flops 0: measured_rates()
};

/// The rates of this machine with weft's threads: of a product of 1024^3 in f32 and of a copy of 64 MiB, best of
/// several; the other fields have their defaults. Takes about a third of a second.
MachineRates measured_rates();

struct ProfileRow {
  NodeId node = no_node;
  std::string path, op, type;  ///< of the node, of its op, of its first output
  std::string where;           ///< the user's line
  int times = 1;               ///< how often a run executes it: once, or once per micro-batch
  double seconds = 0;          ///< of a run, all times together
  double start = 0;            ///< in the last run, seconds from its start
  double last = 0;             ///< seconds in the last run
  Cost cost;                   ///< of a run, all times together

  double flops_rate() const { return cost.flops / seconds; }
  double bytes_rate() const { return cost.bytes / seconds; }
};

struct Profile {
  std::vector<ProfileRow> rows;  ///< in the order of the schedule
  double seconds = 0;            ///< of the shortest whole run
  int threads = 1;
  MachineRates limit;

  /// The least time that the machine's limit allows, over the time taken: max(flops / product rate, bytes / bandwidth)
  /// / seconds.
  double share_of_limit(const ProfileRow& row) const;
  /// Rows summed by op, the longest first (node, path and type are those of the longest of them).
  std::vector<ProfileRow> by_op() const;
  /// Two tables: by op, and the `most` longest nodes.
  std::string str(std::size_t most = 20) const;
  /// The last run for chrome://tracing or Perfetto: Trace Event Format, complete events, in microseconds.
  std::string chrome_trace() const;
};

std::ostream& operator<<(std::ostream& out, const Profile& profile);

}  // namespace weft
