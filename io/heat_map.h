// Heat maps of matrices whose rows and columns are tokens, such as attention weights: one panel for each head, as SVG
// and as text for a terminal.
//
//   write_heat_map("attention.svg", heat_map({{.title = "decoder/0", .weights = w, .rows = words, .columns = words}}));
//   std::cout << heat_map(layers, {.heads = {0, 3}, .divide = HeatMapDivide::columns}).str();
#pragma once

#include <weft/runtime/tensor.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weft {

/// What numbers are divided by before they are drawn; 0 / 0 is drawn as 0.
enum class HeatMapDivide : std::uint8_t {
  nothing,
  rows,      ///< by the sum of |x| over their row
  columns,   ///< by that of their column: which queries look at a key, whatever the others get
  row_peaks  ///< by the largest |x| of their row: where a query looks first, however many keys there are
};

/// The heads of one layer, over the same rows and columns.
struct HeatMapLayer {
  std::string title = {};
  Tensor weights = {};                 ///< [heads, rows, columns] or [batch, heads, rows, columns], of a floating type
  std::vector<std::string> rows = {};  ///< labels, UTF-8; empty: 0, 1, ...
  std::vector<std::string> columns = {};  ///< the same; attention's rows are queries, its columns keys
};

struct HeatMapOptions {
  std::string title = {};
  std::vector<std::int64_t> heads = {};  ///< of each layer, in this order; empty: all
  std::int64_t example = 0;              ///< of weights with a batch axis
  HeatMapDivide divide = HeatMapDivide::nothing;
  /// The numbers at the ends of the colour bar; numbers outside are drawn as the nearer end. Not given: from 0, or from
  /// the least number if it is negative, to the largest.
  std::optional<std::pair<double, double>> range = {};
  std::string row_name = "query", column_name = "key";
  std::int64_t longest_label = 16;  ///< characters; longer ones end in "…"
  std::int64_t panels_in_line = 8;  ///< at most, before a layer goes on below
};

struct HeatMapText {
  bool digits = false;  ///< tenths of the range as 0 ... 9 in ASCII, "." for what is 0, instead of shades
  std::int64_t width =
      80;  ///< columns of the terminal; wider matrices are cut into blocks of keys, nothing is left out
};

/// Numbers and labels that are ready to be drawn: one colour scale for all panels.
struct HeatMap {
  struct Panel {
    std::size_t layer = 0;  ///< into `layers`
    std::int64_t head = 0;
    std::int64_t rows = 0, columns = 0;
    std::vector<double> values;  ///< row-major, divided
    double at(std::int64_t row, std::int64_t column) const {
      return values[static_cast<std::size_t>(row * columns + column)];
    }
  };
  struct Layer {
    std::string title;
    std::vector<std::string> rows, columns;  ///< labels with nothing invisible (io/label.h), shortened
    std::size_t first = 0, last = 0;         ///< its panels
  };
  std::string title, subtitle;  ///< the subtitle says what rows and columns are and what was divided
  std::vector<Layer> layers;
  std::vector<Panel> panels;
  double low = 0, high = 1;     ///< the ends of the colour scale
  std::int64_t not_finite = 0;  ///< NaN and infinite numbers: drawn in a colour of their own, and counted below the bar
  std::int64_t panels_in_line = 8;

  /// 0 at `low`, 1 at `high`; NaN for what is not finite.
  double share(double value) const;
  /// An SVG document: titles, a colour bar, every label in full beside its row or above its column.
  std::string svg() const;
  /// Lines of UTF-8 for a terminal.
  std::string str(const HeatMapText& options = {}) const;
};

/// UserError: no layer, weights of another rank or type, labels that do not match the extents (both counts), a head or
/// an example that is not there, an empty range, more than 2^22 numbers.
HeatMap heat_map(const std::vector<HeatMapLayer>& layers, const HeatMapOptions& options = {});
/// The file is whole or as it was before (io/atomic_file.h). UserError: the name ends neither in .svg nor in .txt, or
/// the file cannot be written.
void write_heat_map(const std::string& path, const HeatMap& map, const HeatMapText& text = {});
/// The UserError that write_heat_map would throw, before hours of work.
void expect_heat_map_file(const std::string& path);
std::ostream& operator<<(std::ostream& out, const HeatMap& map);

}  // namespace weft
