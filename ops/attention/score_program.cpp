#include <weft/ops/attention/score_program.h>

#include <weft/graph/sources.h>
#include <weft/ops/kit/pointwise.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/parallel.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <numeric>

namespace weft {
namespace {

// y[c] = x[min(c, have - 1) step], wider if need be.
template <class T, class Y>
void copy_row(const T* x, std::int64_t step, std::int64_t have, Y* y, std::int64_t n) {
  for (std::int64_t c = 0; c < n; ++c) y[c] = static_cast<Y>(x[std::min(c, have - 1) * step]);
}

}  // namespace

ScoreProgram::ScoreProgram(const ScoreFunction& function, DType score, const std::vector<TensorType>& captures,
                           std::int64_t rows, std::int64_t columns)
    : function_(function),
      capture_types_(captures),
      types_(function.block_types(score, captures, rows, columns)),
      rows_(rows),
      columns_(columns) {
  for (const TensorType& type : captures) strides_.push_back(ScoreStrides(type.shape));
  sort_members();
  bind_members();
  place_values();
}

// Members in order, those that the score needs first.
void ScoreProgram::sort_members() {
  const auto& members = function_.body.members;
  std::vector<bool> needed(types_.size(), false);
  needed[static_cast<std::size_t>(function_.body.outputs.front())] = true;
  std::size_t first = static_cast<std::size_t>(function_.body.operands);
  for (const auto& member : members) {
    firsts_.push_back(first);
    first += static_cast<std::size_t>(member.outputs);
  }
  std::vector<bool> of_score(members.size(), false);
  for (std::size_t m = members.size(); m-- > 0;) {
    for (int k = 0; k < members[m].outputs; ++k)
      of_score[m] = of_score[m] || needed[firsts_[m] + static_cast<std::size_t>(k)];
    for (int value : members[m].operands)
      if (of_score[m] && value != RowRegion::absent) needed[static_cast<std::size_t>(value)] = true;
  }
  order_.resize(members.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  const auto rest = std::stable_partition(order_.begin(), order_.end(), [&](std::size_t m) { return of_score[m]; });
  score_members_ = static_cast<std::size_t>(rest - order_.begin());
}

void ScoreProgram::bind_members() {
  for (const std::size_t m : order_) {
    const RowRegion::Member& from = function_.body.members[m];
    Member member;
    member.attributes = function_.attributes(from, types_[0].dtype, {1, 1, rows_, columns_});
    member.operands = from.operands;
    member.first = static_cast<int>(firsts_[m]);
    for (int value : from.operands)
      member.in.push_back(value == RowRegion::absent ? nullptr : &types_[static_cast<std::size_t>(value)]);
    members_.push_back(std::move(member));
  }
  for (std::size_t at = 0; at < members_.size(); ++at) {  // the views point into members that stay
    Member& member = members_[at];
    const RowRegion::Member& from = function_.body.members[order_[at]];
    const std::span<const TensorType> out(types_.data() + member.first, static_cast<std::size_t>(from.outputs));
    member.view = std::make_unique<OpView>(OpView{*from.op, member.attributes, member.in, out});
    if (from.op == &constant_op()) continue;  // begin() puts it in place
    member.kernel = from.op->kernel(kernel_dtype(*member.view));
    WEFT_CHECK(member.kernel != nullptr, "'{}' ({}): {} has no kernel for {}", from.name, weft::str(from.where),
               from.op->name, name_of(kernel_dtype(*member.view)));
    member.run = member.kernel->run != nullptr ? BoundKernel(member.kernel->run) : member.kernel->bind(*member.view);
    if (member.kernel->workspace != nullptr)
      workspace_ = std::max(workspace_, aligned(member.kernel->workspace(*member.view, 1)));
    WEFT_INVARIANT(from.operands.size() <= 8 && from.outputs <= 4, "'{}' has {} operands", from.name,
                   from.operands.size());
  }
}

// Inputs, constants and outputs have places of their own; another value's is free again after its last reader.
void ScoreProgram::place_values() {
  const std::size_t end = members_.size();
  std::vector<std::size_t> last(types_.size(), 0);
  for (std::size_t at = 0; at < end; ++at) {
    for (std::size_t k = 0; k < members_[at].view->out.size(); ++k)  // unless somebody reads it
      last[static_cast<std::size_t>(members_[at].first) + k] = at;
    for (int value : members_[at].operands)
      if (value != RowRegion::absent) last[static_cast<std::size_t>(value)] = at;
  }
  offsets_.assign(types_.size(), 0);
  bytes_ = workspace_;
  const auto place_alone = [&](std::size_t value) {
    offsets_[value] = bytes_;
    bytes_ += aligned(types_[value].bytes());
    last[value] = end;
  };
  for (std::size_t value = 0; value < static_cast<std::size_t>(function_.body.operands); ++value) place_alone(value);
  for (const Member& member : members_)
    if (member.kernel == nullptr) place_alone(static_cast<std::size_t>(member.first));
  for (int value : function_.body.outputs) last[static_cast<std::size_t>(value)] = end;

  std::vector<std::vector<std::size_t>> dying(end + 1);  // by member: what is read there for the last time
  for (std::size_t value = static_cast<std::size_t>(function_.body.operands); value < types_.size(); ++value)
    dying[last[value]].push_back(value);
  std::multimap<std::size_t, std::size_t> free;  // bytes to offset
  for (std::size_t at = 0; at < end; ++at) {
    for (std::size_t k = 0; members_[at].kernel != nullptr && k < members_[at].view->out.size(); ++k) {
      const std::size_t value = static_cast<std::size_t>(members_[at].first) + k;
      const std::size_t bytes = aligned(types_[value].bytes());
      const auto fit = free.find(bytes);
      offsets_[value] = fit == free.end() ? bytes_ : fit->second;
      if (fit == free.end()) bytes_ += bytes;
      else free.erase(fit);
    }
    for (const std::size_t value : dying[at]) free.emplace(aligned(types_[value].bytes()), offsets_[value]);
  }
}

void ScoreProgram::begin(std::byte* slot, const std::byte* const* captures) const {
  for (const Member& member : members_) {
    if (member.kernel != nullptr) continue;
    const auto& constant = *member.attributes.get<std::shared_ptr<const Constant>>("value");
    std::ranges::copy(constant.bytes, slot + offsets_[static_cast<std::size_t>(member.first)]);
  }
  for (std::size_t c = 0; c < capture_types_.size(); ++c) {
    if (!function_.tables[c]) continue;
    const std::size_t value = ScoreFunction::captures + c;
    const TensorType& type = capture_types_[c];
    std::byte* to = slot + offsets_[value];
    if (type.dtype == types_[value].dtype) {
      std::memcpy(to, captures[c], type.bytes());
    } else {
      visit_dtype(type.dtype, [&]<class T>(T) {
        if constexpr (is_narrow<T>)
          widen(reinterpret_cast<const T*>(captures[c]), reinterpret_cast<float*>(to), type.count());
      });
    }
  }
}

void ScoreProgram::place(std::byte* slot, const std::byte* const* captures, const Block& block) const {
  const auto index = [&](ScoreFunction::Input input) {
    return reinterpret_cast<std::int64_t*>(slot + offsets_[static_cast<std::size_t>(input)]);
  };
  *index(ScoreFunction::batch) = block.b;
  *index(ScoreFunction::head) = block.h;
  for (std::int64_t r = 0; r < rows_; ++r) {
    const std::int64_t row = std::min(r, block.rows - 1);
    index(ScoreFunction::query)[r] = block.i + row;
    index(ScoreFunction::position)[r] = block.first_position + row;
  }
  for (std::int64_t c = 0; c < columns_; ++c) index(ScoreFunction::key)[c] = block.j + std::min(c, block.columns - 1);

  for (std::size_t c = 0; c < capture_types_.size(); ++c) {
    if (function_.tables[c]) continue;
    const std::size_t value = ScoreFunction::captures + c;
    const ScoreStrides& s = strides_[c];
    const std::int64_t n = s.key == 0 ? 1 : columns_, lines = s.query == 0 ? 1 : rows_;
    for (std::int64_t r = 0; r < lines; ++r) {
      const std::int64_t row = block.i + std::min(r, block.rows - 1);
      const std::int64_t at = block.b * s.batch + block.h * s.head + row * s.query + block.j * s.key;
      std::byte* to = slot + offsets_[value] + static_cast<std::size_t>(r * n) * size_of(types_[value].dtype);
      visit_dtype(capture_types_[c].dtype, [&]<class T>(T) {
        const T* from = reinterpret_cast<const T*>(captures[c]) + at;
        if constexpr (is_narrow<T>) copy_row(from, s.key, block.columns, reinterpret_cast<float*>(to), n);
        else copy_row(from, s.key, block.columns, reinterpret_cast<T*>(to), n);
      });
    }
  }
}

void ScoreProgram::run(std::byte* slot, std::size_t from, std::size_t to) const {
  const RandomState random;
  run_alone([&] {
    for (std::size_t at = from; at < to; ++at) {
      const Member& member = members_[at];
      if (member.kernel == nullptr) continue;
      std::array<const std::byte*, 8> in{};
      std::array<std::byte*, 4> out{};
      for (std::size_t i = 0; i < member.operands.size(); ++i)
        if (member.operands[i] != RowRegion::absent)
          in[i] = slot + offsets_[static_cast<std::size_t>(member.operands[i])];
      const std::size_t outputs = member.view->out.size();
      for (std::size_t k = 0; k < outputs; ++k) out[k] = slot + offsets_[static_cast<std::size_t>(member.first) + k];
      KernelContext own(*member.view, {in.data(), member.operands.size()}, {out.data(), outputs}, slot, random);
      member.run(own);
    }
  });
}

}  // namespace weft
