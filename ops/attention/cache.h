// Ops of a key-value cache: append tokens after those that it holds, at a position that is known only when the program
// runs.
#pragma once

#include <weft/graph/graph.h>

#include <cstdint>

namespace weft {

/// The cache [batch, capacity, ..] with x [n, time, ..], n <= batch, in it: y[b, start_b + i] = x[b, i] for i <
/// count_b, the cache elsewhere. start: i32 or i64, [] or [n]; count: the same, time if absent. Works in place if this
/// is the last read of the cache, or if y is the update of the cache's state: then a run copies x's bytes, not the
/// cache's. UserError, when the program runs and before anything in the store changes (it puts in a require_room unless
/// `start` is one): start_b < 0, count_b outside [0, time], start_b + count_b > capacity.
Value cache_append(const Arg& cache, const Arg& x, const Value& start, const Value& count = {});

/// `start` unchanged, if `time` tokens (`count`, of start's shape, if given) fit after it: 0 <= start and start + count
/// <= capacity. Otherwise the run ends in a UserError and changes nothing in the Store (Traits::guard).
Value require_room(const Arg& start, std::int64_t time, std::int64_t capacity, const Value& count = {});

const OpDef& cache_append_op();
const OpDef& require_room_op();
void register_cache();

}  // namespace weft
