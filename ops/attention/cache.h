// Writing the next tokens behind those that a cache holds, at a place that is known when the program runs.
#pragma once

#include <weft/graph/graph.h>

#include <cstdint>

namespace weft {

/// The cache [batch, capacity, ..] with x [n, time, ..], n <= batch, in it: y[b, start_b + i] = x[b, i] for i <
/// count_b, the cache elsewhere. start: i32 or i64, [] or [n]; count: the same, time if absent. Writes in place where
/// the cache dies here or is a state that y is the update of: then a run moves x's bytes, not the cache's. UserError,
/// when the program runs: start_b < 0, count_b outside [0, time], start_b + count_b > capacity.
Value cache_append(const Arg& cache, const Arg& x, const Value& start, const Value& count = {});

/// `start` as it is where `time` tokens (`count`, of start's shape, if given) fit behind it: 0 <= start and start +
/// count <= capacity. Elsewhere the run ends in a UserError, and nothing in the Store has changed (Traits::guard).
Value require_room(const Arg& start, std::int64_t time, std::int64_t capacity, const Value& count = {});

const OpDef& cache_append_op();
const OpDef& require_room_op();
void register_cache();

}  // namespace weft
