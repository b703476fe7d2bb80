// Learning rates as nodes: functions of the number of updates taken so far. Others are in decay.h, cycle.h and
// sequence.h of this folder.
#pragma once

#include <weft/graph/graph.h>

#include <functional>
#include <source_location>
#include <string>

namespace weft {

/// A learning rate schedule: from the count of updates (i64 scalar, 0 at the first) to a rate (f64 scalar). A number is
/// a constant schedule.
class Schedule {
 public:
  using Rule = std::function<Value(const Value& updates)>;
  Schedule(double rate, std::source_location where = std::source_location::current());  // NOLINT: implicit
  /// Your own schedule: `rule` builds its nodes from `updates`, and may add an input to feed the rate by hand.
  Schedule(std::string name, Rule rule) : name_(std::move(name)), rule_(std::move(rule)) {}
  Value operator()(const Value& updates) const { return rule_(updates); }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  Rule rule_;
};

/// The schedule with every rate multiplied by `factor`. UserError: the factor is negative or not finite.
Schedule operator*(const Schedule& schedule, double factor);
inline Schedule operator*(double factor, const Schedule& schedule) { return schedule * factor; }

/// t updates taken: peak (t + 1) / (warmup + 1) for t < warmup, then
/// least + (peak - least) (1 + cos(pi min(1, (t - warmup) / (total - warmup)))) / 2 (Loshchilov & Hutter 2017, eq. 5).
/// UserError unless 0 <= warmup < total and 0 <= least <= peak.
Schedule warmup_cosine(double peak, std::int64_t warmup, std::int64_t total, double least = 0,
                       std::source_location where = std::source_location::current());

}  // namespace weft
