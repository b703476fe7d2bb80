#include <weft/runtime/region/kernel.h>

#include <weft/runtime/allocate.h>
#include <weft/runtime/in_place.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/region/region.h>
#include <weft/runtime/region/shape.h>
#include <weft/runtime/tensor.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

namespace weft {
namespace {

using Cut = RowPart::Cut;

constexpr std::int64_t least_elements = 4096;  // of a block: below, calling the members costs more than their work
constexpr std::int64_t wanted_blocks = 16;     // so that a team shares them evenly

// The region's values, its members' shapes, and the extents of its blocks: rows x columns, by the types alone.
struct Layout {
  const RowRegion& region;
  std::vector<TensorType> types;  // by value
  std::vector<RowShape> shapes;   // by member
  std::vector<int> first;         // by member: the value of its output 0
  std::int64_t rows = 1, width = 1;
  std::int64_t block_rows = 1, block_columns = 1;

  explicit Layout(const OpView& view) : region(row_region_of(view.attributes)), types(region.types(view)) {
    region.each(types, [&](const RowRegion::Member& member, int at, const OpView& of) {
      const auto shape = row_shape(of);
      WEFT_INVARIANT(shape, "'{}' ({}) does not work row by row", member.name, member.op->name);
      shapes.push_back(*shape);
      first.push_back(at);
      rows = shape->rows;
      width = std::max(width, shape->width);
    });
    if (is_flat()) flatten();
    choose_blocks();
  }

  std::int64_t row_tiles() const { return (rows + block_rows - 1) / block_rows; }
  std::int64_t column_tiles() const { return (width + block_columns - 1) / block_columns; }
  bool given(int value) const { return std::ranges::find(region.outputs, value) != region.outputs.end(); }
  std::size_t row_bytes(int value, const RowPart& part) const {
    return static_cast<std::size_t>(part.width) * size_of(types[static_cast<std::size_t>(value)].dtype);
  }

  /// body(value, part) for each operand of a member that is there.
  template <class F>
  void operands(std::size_t member, F&& body) const {
    const RowRegion::Member& of = region.members[member];
    for (std::size_t i = 0; i < of.operands.size(); ++i)
      if (of.operands[i] != RowRegion::absent) body(of.operands[i], shapes[member].in[i]);
  }

 private:
  // Rows of nothing but equal shapes and single numbers are one long row.
  bool is_flat() const {
    for (std::size_t m = 0; m < shapes.size(); ++m) {
      bool flat = !shapes[m].whole_rows;
      operands(m, [&](int value, const RowPart& part) {
        flat &= part.cut == Cut::rows ? part.width == width
                                      : part.cut == Cut::whole && types[static_cast<std::size_t>(value)].count() == 1;
      });
      for (const RowPart& part : shapes[m].out) flat &= part.width == width;
      if (!flat) return false;
    }
    return true;
  }
  void flatten() {
    const std::int64_t before = width;
    width *= rows;
    rows = 1;
    for (RowShape& shape : shapes)
      for (auto* parts : {&shape.in, &shape.out})
        for (RowPart& part : *parts)
          if (part.cut == Cut::rows && part.width == before) part.width = width;
  }

  void choose_blocks() {
    bool by_columns = true;  // a row may be cut
    std::int64_t period = 0;
    std::vector<std::size_t> of_row(types.size(), 0);
    for (std::size_t m = 0; m < shapes.size(); ++m) {
      by_columns &= !shapes[m].whole_rows;
      operands(m, [&](int value, const RowPart& part) {
        if (part.cut != Cut::whole) of_row[static_cast<std::size_t>(value)] = row_bytes(value, part);
        if (part.cut == Cut::cycles) period = std::gcd(period, part.period);
      });
      for (std::size_t k = 0; k < shapes[m].out.size(); ++k) {
        const int value = first[m] + static_cast<int>(k);
        of_row[static_cast<std::size_t>(value)] = row_bytes(value, shapes[m].out[k]);
        by_columns &= shapes[m].out[k].width == width;
      }
    }
    const auto bytes = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::reduce(of_row.begin(), of_row.end())));
    const auto extent = [](std::int64_t whole, std::int64_t fits, std::int64_t least) {
      const std::int64_t shared = (whole + wanted_blocks - 1) / wanted_blocks;
      return std::clamp<std::int64_t>(std::min(fits, std::max(shared, least)), 1, whole);
    };
    block_columns = width;
    if (by_columns && (rows == 1 || bytes > row_region_bytes)) {
      const std::int64_t a_column = std::max<std::int64_t>(1, bytes / width);
      block_columns = extent(width, row_region_bytes / a_column, least_elements);
      block_columns = std::min(width, (block_columns + 63) / 64 * 64);
      return;
    }
    block_rows = extent(rows, row_region_bytes / bytes, least_elements / width);
    if (period > 0)
      while (period % block_rows != 0) --block_rows;  // a block of what cycles lies in one piece
  }
};

// Which outputs of a member may lie in which of its operands' bytes.
std::vector<InPlace> legal_pairs(const RowRegion::Member& member, const OpView& view) {
  const auto share = [&](int i, int j) {
    return member.operands[static_cast<std::size_t>(i)] == member.operands[static_cast<std::size_t>(j)];
  };
  return legal_in_place(view, share);
}

// Where values that only members read lie in a thread's workspace.
struct Scratch {
  static constexpr std::size_t none = ~std::size_t{0};
  std::vector<std::size_t> offset;  // by value; none: the value lies in memory
  std::size_t bytes = 0;

  explicit Scratch(const Layout& layout) : offset(layout.types.size(), none) {
    const auto members = layout.shapes.size();
    std::vector<std::size_t> last(layout.types.size(), 0);
    for (std::size_t m = 0; m < members; ++m)
      layout.operands(m, [&](int value, const RowPart&) { last[static_cast<std::size_t>(value)] = m; });
    struct Piece {
      std::size_t begin, end, until, made;  // until, made: members
    };
    std::vector<Piece> live;
    layout.region.each(
        layout.types, [&, m = std::size_t{0}](const RowRegion::Member& member, int first, const OpView& of) mutable {
          const std::vector<InPlace> pairs = legal_pairs(member, of);
          for (int k = 0; k < member.outputs; ++k) {
            const auto value = static_cast<std::size_t>(first + k);
            if (layout.given(first + k)) continue;
            const std::size_t until = std::max(last[value], m);
            const std::size_t row = layout.row_bytes(first + k, layout.shapes[m].out[static_cast<std::size_t>(k)]);
            const auto rows = static_cast<std::size_t>(layout.block_rows),
                       columns = static_cast<std::size_t>(layout.block_columns);
            const bool cut = layout.block_columns < layout.width;  // then all rows are as wide
            const std::size_t size = aligned(cut ? row / static_cast<std::size_t>(layout.width) * columns : rows * row);
            const auto taken = [&](const Piece& piece) {
              // In the place of an operand that is read here for the last time.
              if (piece.until != m || piece.made == m || piece.end - piece.begin != size) return false;
              for (const InPlace& pair : pairs) {
                const auto operand = static_cast<std::size_t>(member.operands[static_cast<std::size_t>(pair.operand)]);
                if (pair.output == k && offset[operand] == piece.begin && layout.types[operand] == of.out_type(k))
                  return true;
              }
              return false;
            };
            if (const auto at = std::ranges::find_if(live, taken); at != live.end()) {
              at->until = until;
              at->made = m;
              offset[value] = at->begin;
              continue;
            }
            std::size_t begin = 0;  // the first gap
            std::ranges::sort(live, {}, &Piece::begin);
            for (const Piece& piece : live) {
              if (begin + size <= piece.begin) break;
              begin = std::max(begin, piece.end);
            }
            live.push_back({begin, begin + size, until, m});
            offset[value] = begin;
            bytes = std::max(bytes, begin + size);
          }
          std::erase_if(live, [&](const Piece& piece) { return piece.until <= m; });
          ++m;
        });
  }
};

// A member bound to blocks of one size.
struct BlockMember {
  std::vector<TensorType> in_types, out_types;
  std::vector<const TensorType*> in;
  std::unique_ptr<OpView> view;
  const Kernel* kernel = nullptr;

  BlockMember(const Layout& layout, std::size_t m, std::int64_t rows, std::int64_t columns) {
    const RowRegion::Member& member = layout.region.members[m];
    const RowShape& shape = layout.shapes[m];
    in_types.reserve(member.operands.size());
    for (std::size_t i = 0; i < member.operands.size(); ++i) {
      in.push_back(nullptr);
      if (member.operands[i] == RowRegion::absent) continue;
      in_types.push_back(block_type(layout.types[static_cast<std::size_t>(member.operands[i])], shape.in[i], rows,
                                    columns, layout.width));
      in.back() = &in_types.back();
    }
    for (std::size_t k = 0; k < shape.out.size(); ++k)
      out_types.push_back(block_type(layout.types[static_cast<std::size_t>(layout.first[m]) + k], shape.out[k], rows,
                                     columns, layout.width));
    view = std::make_unique<OpView>(OpView{*member.op, member.attributes, in, out_types});
    kernel = member.op->kernel(kernel_dtype(*view));
  }
  BoundKernel bind() const { return kernel->run != nullptr ? BoundKernel(kernel->run) : kernel->bind(*view); }
  std::size_t workspace() const { return kernel->workspace == nullptr ? 0 : kernel->workspace(*view, 1); }
};

struct Block {
  std::vector<BlockMember> members;
  Block(const Layout& layout, std::int64_t rows, std::int64_t columns) {
    for (std::size_t m = 0; m < layout.shapes.size(); ++m) members.emplace_back(layout, m, rows, columns);
  }
};

// A thread's workspace: what members leave to each other, then what a member's kernel asks for.
struct Spaces {
  std::size_t member = 0, bytes = 0;
  Spaces(const Scratch& scratch, const std::vector<Block>& blocks) : member(scratch.bytes), bytes(scratch.bytes) {
    for (const Block& block : blocks)
      for (const BlockMember& of : block.members) bytes = std::max(bytes, member + aligned(of.workspace()));
  }
};

// Whole blocks, and the shorter ones at the end of the rows or of a row.
std::vector<Block> blocks_of(const Layout& layout) {
  std::vector<Block> blocks;
  blocks.emplace_back(layout, layout.block_rows, layout.block_columns);
  const std::int64_t rows = layout.rows % layout.block_rows, columns = layout.width % layout.block_columns;
  blocks.emplace_back(layout, rows == 0 ? layout.block_rows : rows, columns == 0 ? layout.block_columns : columns);
  return blocks;
}

class Bound {
 public:
  explicit Bound(const OpView& view)
      : members_(view.attributes.get<std::shared_ptr<const Description>>("members")),
        layout_(view),
        scratch_(layout_),
        blocks_(blocks_of(layout_)),
        spaces_(scratch_, blocks_) {
    for (const Block& block : blocks_)
      for (const BlockMember& member : block.members) kernels_.push_back(member.bind());
    for (const RowRegion::Member& member : layout_.region.members)
      WEFT_INVARIANT(member.operands.size() <= most, "'{}' has {} operands", member.name, member.operands.size());
    WEFT_INVARIANT(layout_.types.size() <= RowRegion::most_values, "a region of {} values", layout_.types.size());
  }

  void run(KernelContext& context) const {
    const std::int64_t columns = layout_.column_tiles();
    parallel_for(layout_.row_tiles() * columns, [&](std::int64_t tile, int slot) {
      run_alone([&] {
        run_block(context, tile / columns * layout_.block_rows, tile % columns * layout_.block_columns, slot);
      });
    });
  }

 private:
  static constexpr std::size_t most = 16;  // operands or outputs of a member

  // Where a part of a value in memory begins for the block at (row, column).
  std::size_t at(int value, const RowPart& part, std::int64_t row, std::int64_t column) const {
    const std::size_t size = size_of(layout_.types[static_cast<std::size_t>(value)].dtype);
    std::int64_t elements = part.width == layout_.width && !part.flat ? column : 0;
    if (part.cut == Cut::rows) elements += row * part.width;
    if (part.cut == Cut::cycles) elements += row % part.period * part.width;
    return static_cast<std::size_t>(elements) * size;
  }

  void run_block(const KernelContext& context, std::int64_t row, std::int64_t column, int slot) const {
    const RowRegion& region = layout_.region;
    const bool whole = row + layout_.block_rows <= layout_.rows && column + layout_.block_columns <= layout_.width;
    const Block& block = blocks_[whole ? 0 : 1];
    const BoundKernel* kernels = kernels_.data() + (whole ? 0 : region.members.size());
    std::byte* space = context.workspace() + static_cast<std::size_t>(slot) * spaces_.bytes;
    RandomState random = context.random();
    random.row_offset += row;
    std::array<std::byte*, RowRegion::most_values> given{};
    for (std::size_t k = 0; k < region.outputs.size(); ++k)
      given[static_cast<std::size_t>(region.outputs[k])] = context.out_bytes(static_cast<int>(k));

    for (std::size_t m = 0; m < region.members.size(); ++m) {
      const RowRegion::Member& member = region.members[m];
      const RowShape& shape = layout_.shapes[m];
      std::array<const std::byte*, most> in{};
      std::array<std::byte*, most> out{};
      for (std::size_t i = 0; i < member.operands.size(); ++i) {
        const int value = member.operands[i];
        if (value == RowRegion::absent) continue;
        const auto v = static_cast<std::size_t>(value);
        if (value < region.operands) in[i] = context.in_bytes(value) + at(value, shape.in[i], row, column);
        else if (given[v] != nullptr) in[i] = given[v] + at(value, shape.in[i], row, column);
        else in[i] = space + scratch_.offset[v];
      }
      for (std::size_t k = 0; k < shape.out.size(); ++k) {
        const auto v = static_cast<std::size_t>(layout_.first[m]) + k;
        out[k] = given[v] != nullptr ? given[v] + at(static_cast<int>(v), shape.out[k], row, column)
                                     : space + scratch_.offset[v];
      }
      KernelContext own(*block.members[m].view, {in.data(), member.operands.size()}, {out.data(), shape.out.size()},
                        space + spaces_.member, random, context.micro());
      try {
        kernels[m](own);
      } catch (const UserError& error) {
        WEFT_FAIL("'{}' ({}): [{}] {}", member.name, weft::str(member.where), member.op->name, error.what());
      }
    }
  }

  std::shared_ptr<const Description> members_;  // keeps what the layout refers to
  Layout layout_;
  Scratch scratch_;
  std::vector<Block> blocks_;
  Spaces spaces_;
  std::vector<BoundKernel> kernels_;
};

BoundKernel bind(const OpView& view) {
  return [bound = std::make_shared<const Bound>(view)](KernelContext& context) { bound->run(context); };
}

std::size_t workspace(const OpView& view, int threads) {
  const Layout layout(view);
  return static_cast<std::size_t>(threads) * Spaces(Scratch(layout), blocks_of(layout)).bytes;
}

}  // namespace

std::vector<Kernel> row_region_kernels() {
  std::vector<Kernel> kernels;
  for (DType dtype : {f32, f64, bf16, f16, i32, i64, boolean})
    kernels.push_back({.dtype = dtype, .bind = bind, .workspace = workspace});
  return kernels;
}

std::vector<InPlace> row_region_in_place(const OpView& view) {
  const RowRegion& region = row_region_of(view.attributes);
  const std::vector<TensorType> types = region.types(view);
  struct Read {
    int member = -1;  // the last that reads the operand
    bool rows = true;
  };
  std::vector<Read> reads(static_cast<std::size_t>(region.operands));
  std::vector<InPlace> pairs;
  int m = 0;
  bool whole = true;  // false: a member has no elements
  region.each(types, [&](const RowRegion::Member& member, int, const OpView& of) {
    const auto shape = row_shape(of);
    if (!shape) whole = false;
    for (std::size_t i = 0; shape && i < member.operands.size(); ++i) {
      const int value = member.operands[i];
      if (value == RowRegion::absent || value >= region.operands) continue;
      Read& read = reads[static_cast<std::size_t>(value)];
      read.member = m;
      read.rows &= shape->in[i].cut == Cut::rows;
    }
    ++m;
  });
  if (!whole) return {};
  m = 0;
  region.each(types, [&](const RowRegion::Member& member, int first, const OpView& of) {
    const std::vector<InPlace> own = legal_pairs(member, of);
    for (std::size_t k = 0; k < region.outputs.size(); ++k) {
      const int output = region.outputs[k] - first;
      if (output < 0 || output >= member.outputs) continue;
      for (int i = 0; i < region.operands; ++i) {
        const Read& read = reads[static_cast<std::size_t>(i)];
        if (!read.rows || view.type(i) != of.out_type(output)) continue;
        const bool allowed = std::ranges::any_of(own, [&](const InPlace& pair) {
          return pair.output == output && member.operands[static_cast<std::size_t>(pair.operand)] == i;
        });
        if (read.member < m || (read.member == m && allowed)) pairs.push_back({static_cast<int>(k), i});
      }
    }
    ++m;
  });
  return pairs;
}

}  // namespace weft
