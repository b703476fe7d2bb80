// How a node is cut into blocks of rows, read off its op's traits and its types. Rows run over all axes but the last.
#pragma once

#include <weft/graph/op_def.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace weft {

/// Which part of an operand or an output belongs to one row of the node.
struct RowPart {
  enum class Cut : std::uint8_t {
    rows,    ///< row r, for row r
    cycles,  ///< row r % period, for row r: leading axes that broadcast
    whole    ///< all of it, for every row
  };
  Cut cut = Cut::whole;
  std::int64_t width = 1;   ///< elements of its row; if whole: of its last axis
  std::int64_t period = 1;  ///< rows, where it cycles
  bool flat = false;        ///< without the last axis: rows lie along its own last axis
  friend bool operator==(const RowPart&, const RowPart&) = default;
};

struct RowShape {
  std::int64_t rows = 1, width = 1;  ///< of the node: its widest part
  /// rows must not be cut into columns: the node sums over a row, or draws random numbers by row
  bool whole_rows = false;
  std::vector<RowPart> in, out;  ///< absent operands are whole
};

/// nullopt where the node does not work row by row: neither pointwise nor row-wise, side effects, an empty tensor, a
/// broadcast that no RowPart describes, or a shape rule that refuses a block of rows.
std::optional<RowShape> row_shape(const OpView& view);

/// The type of a block of `rows` rows and, of parts that are `node_width` wide, `columns` columns. The rank stays, so
/// that axes in attributes mean the same.
TensorType block_type(const TensorType& type, const RowPart& part, std::int64_t rows, std::int64_t columns,
                      std::int64_t node_width);

}  // namespace weft
