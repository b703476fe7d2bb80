// Score modifiers for AttentionOptions::score: position biases (ALiBi, T5, clipped distances) computed inside the
// block-wise kernel, so that no bias of [heads, time_q, time_k] ever exists.
#pragma once

#include <weft/ops/attention/attention.h>
#include <weft/ops/attention/positions.h>

#include <cstdint>
#include <vector>

namespace weft::modifiers {

/// -slope_h |p - j| of query position p and key j (Press et al. 2022, "Train Short, Test Long", section 3); the slopes
/// are alibi_slopes(heads). UserError: heads below 1; when attention is built: another number of heads.
ScoreModifier alibi(std::int64_t heads);
/// The same with given slopes: [heads], floating; they get their gradient.
ScoreModifier alibi(const Value& slopes);
/// T5's bias (Raffel et al. 2020, section 2.1): weight [buckets, heads] at the bucket of key - position. UserError: a
/// weight of another shape.
ScoreModifier relative_buckets(const Value& weight, const RelativeBucketOptions& options = {});
/// weight[h, clamp(j - p, -most, most) + most] with weight [heads, 2 most + 1]: one number for each clipped distance
/// (Shaw et al. 2018, eq. 4, as a scalar). UserError: a weight of another shape.
ScoreModifier relative_distances(const Value& weight);

/// The modifiers one after the other, each applied to the score that the one before gives.
ScoreModifier chain(std::vector<ScoreModifier> modifiers);

}  // namespace weft::modifiers
