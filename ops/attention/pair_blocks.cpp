#include <weft/ops/attention/pair_blocks.h>

#include <weft/ops/attention/score_program.h>
#include <weft/runtime/parallel.h>

#include <algorithm>
#include <bit>
#include <list>
#include <map>
#include <mutex>

namespace weft {

PairBlocks::PairBlocks(std::shared_ptr<const Description> function, const AttentionShape& shape)
    : function_(std::move(function)),
      heads_(shape.heads),
      time_q_(shape.time_q),
      time_k_(shape.time_k),
      offset_(shape.offset),
      rows_(shape.q_rows()),
      columns_(shape.k_rows()),
      words_((columns_ + 63) / 64),
      tile_rows_((time_q_ + rows_ - 1) / rows_),
      tile_columns_((time_k_ + columns_ - 1) / columns_) {
  const auto& pattern = dynamic_cast<const ScoreFunction&>(*function_);
  if (!pattern.reads(ScoreFunction::head)) heads_ = 1;
  const ScoreProgram program(pattern, pattern.dtype, {}, std::min(rows_, ScoreProgram::strip_rows), columns_);
  tiles_.assign(static_cast<std::size_t>(heads_ * tile_rows_ * tile_columns_), empty);

  // A line of tiles at a time, so that no more than it lies in memory beside the distinct tiles.
  const std::int64_t tile_words = rows_ * words_;
  std::vector<std::uint64_t> line(static_cast<std::size_t>(tile_columns_ * tile_words));
  std::vector<std::byte> slots(program.scratch() * static_cast<std::size_t>(threads()) + 64);
  std::byte* const first = slots.data() + (64 - reinterpret_cast<std::uintptr_t>(slots.data()) % 64) % 64;
  std::map<std::vector<std::uint64_t>, std::int64_t> distinct;
  for (std::int64_t t = 0; t < heads_ * tile_rows_; ++t) {
    const std::int64_t h = t / tile_rows_, i = t % tile_rows_ * rows_, count = std::min(rows_, time_q_ - i);
    std::ranges::fill(line, 0);
    parallel_for(tile_columns_, [&](std::int64_t tile, int slot) {
      std::byte* scratch = first + program.scratch() * static_cast<std::size_t>(slot);
      const std::int64_t j = tile * columns_, keys = std::min(columns_, time_k_ - j);
      program.begin(scratch, nullptr);
      for (std::int64_t r0 = 0; r0 < count; r0 += program.rows()) {
        const std::int64_t here = std::min(program.rows(), count - r0);
        program.place(
            scratch, nullptr,
            {.b = 0, .h = h, .i = i + r0, .j = j, .rows = here, .columns = keys, .first_position = i + r0 + offset_});
        program.run(scratch);
        for (std::int64_t r = 0; r < here; ++r) {
          const bool* seen = program.output<bool>(scratch, 0, r);
          std::uint64_t* bits = line.data() + tile * tile_words + (r0 + r) * words_;
          for (std::int64_t c = 0; c < keys; ++c) bits[c / 64] |= std::uint64_t{seen[c]} << (c % 64);
        }
      }
    });
    for (std::int64_t tile = 0; tile < tile_columns_; ++tile) {
      const std::int64_t keys = std::min(columns_, time_k_ - tile * columns_);
      const auto bits = line.begin() + tile * tile_words;
      std::int64_t pairs = 0;
      for (auto word = bits; word != bits + tile_words; ++word) pairs += std::popcount(*word);
      std::int64_t& number = tiles_[static_cast<std::size_t>(t * tile_columns_ + tile)];
      if (pairs == 0) continue;
      if (pairs == count * keys) {
        number = full;
        continue;
      }
      const auto [found, fresh] = distinct.try_emplace(std::vector<std::uint64_t>(bits, bits + tile_words),
                                                       static_cast<std::int64_t>(distinct.size()));
      if (fresh) bits_.insert(bits_.end(), bits, bits + tile_words);
      number = found->second;
    }
  }
}

bool PairBlocks::matches(const Description& function, const AttentionShape& shape) const {
  return time_q_ == shape.time_q && time_k_ == shape.time_k && offset_ == shape.offset && rows_ == shape.q_rows() &&
         columns_ == shape.k_rows() && (heads_ == 1 || heads_ == shape.heads) && function_->same(function);
}

bool pairs_are_static(const OpView& view) {
  const ScoreFunction* pattern = score_function(view.attributes, "pairs");
  return pattern != nullptr && pattern->captured == 0 && !pattern->reads(ScoreFunction::batch) &&
         !(view.has(AttentionIn::start) && pattern->reads(ScoreFunction::position));
}

std::shared_ptr<const PairBlocks> pair_blocks(const OpView& view) {
  if (!pairs_are_static(view)) return nullptr;
  const ScoreFunction* pattern = score_function(view.attributes, "pairs");
  const AttentionShape shape(view);
  static std::mutex mutex;
  static std::list<std::weak_ptr<const PairBlocks>> known;
  const std::scoped_lock lock(mutex);
  known.remove_if([](const auto& blocks) { return blocks.expired(); });
  for (const auto& blocks : known)
    if (auto found = blocks.lock(); found != nullptr && found->matches(*pattern, shape)) return found;
  auto blocks =
      std::make_shared<const PairBlocks>(view.attributes.get<std::shared_ptr<const Description>>("pairs"), shape);
  known.push_back(blocks);
  return blocks;
}

}  // namespace weft
