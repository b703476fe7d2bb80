#include <weft/graph/error.h>
#include <weft/io/atomic_file.h>
#include <weft/io/heat_map.h>
#include <weft/io/label.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <ostream>
#include <span>

namespace weft {
namespace {

constexpr std::int64_t most_cells = std::int64_t{1} << 22U;
constexpr std::int64_t longest_title = 120;

// `what`: "rows", in the layer of this name.
std::vector<std::string> labels_of(const std::vector<std::string>& given, std::int64_t count, std::int64_t longest,
                                   const std::string& name, const char* what) {
  WEFT_CHECK(given.empty() || std::cmp_equal(given.size(), count),
             "heat map {}: {} labels of {}, the weights have {} {}", name, given.size(), what, count, what);
  std::vector<std::string> labels;
  for (std::int64_t i = 0; i < count; ++i)
    labels.push_back(given.empty() ? fmt::format("{}", i) : visible_label(given[static_cast<std::size_t>(i)], longest));
  return labels;
}

void divide_by(std::vector<double>& values, std::int64_t rows, std::int64_t columns, HeatMapDivide by) {
  if (by == HeatMapDivide::nothing) return;
  const bool over_rows = by == HeatMapDivide::columns;
  const auto line = [&](std::int64_t count, std::int64_t length, std::int64_t step, std::int64_t stride) {
    for (std::int64_t i = 0; i < count; ++i) {
      double sum = 0, most = 0;
      for (std::int64_t j = 0; j < length; ++j) {
        const double value = std::abs(values[static_cast<std::size_t>(i * step + j * stride)]);
        if (!std::isfinite(value)) continue;
        sum += value;
        most = std::max(most, value);
      }
      const double divisor = by == HeatMapDivide::row_peaks ? most : sum;
      for (std::int64_t j = 0; divisor > 0 && j < length; ++j)
        values[static_cast<std::size_t>(i * step + j * stride)] /= divisor;
    }
  };
  if (over_rows) line(columns, rows, 1, columns);
  else line(rows, columns, columns, 1);
}

const char* said(HeatMapDivide by) {
  switch (by) {
    case HeatMapDivide::rows:
      return "; each row sums to one";
    case HeatMapDivide::columns:
      return "; each column sums to one";
    case HeatMapDivide::row_peaks:
      return "; the largest of each row is one";
    case HeatMapDivide::nothing:
      break;
  }
  return "";
}

// Panels of one layer.
void add_layer(HeatMap& map, const HeatMapLayer& layer, const HeatMapOptions& options) {
  const Tensor& w = layer.weights;
  const std::string name = layer.title.empty() ? fmt::format("layer {}", map.layers.size()) : layer.title;
  WEFT_CHECK(
      is_float(w.dtype()) && !w.empty() && (w.rank() == 3 || w.rank() == 4),
      "heat map {}: weights must be [heads, rows, columns] or [batch, heads, rows, columns] of a floating type, got {}",
      name, w.type_str());
  const std::int64_t batch = w.rank() == 4 ? w.extent(0) : 1, heads = w.extent(-3), rows = w.extent(-2),
                     columns = w.extent(-1);
  WEFT_CHECK(options.example >= 0 && options.example < batch, "heat map {}: example {} of a batch of {}", name,
             options.example, batch);
  WEFT_CHECK(heads > 0 && rows > 0 && columns > 0, "heat map {}: there is nothing to draw in {}", name, w.type_str());

  HeatMap::Layer drawn{.title = visible_title(layer.title, longest_title),
                       .rows = labels_of(layer.rows, rows, options.longest_label, name, "rows"),
                       .columns = labels_of(layer.columns, columns, options.longest_label, name, "columns"),
                       .first = map.panels.size(),
                       .last = 0};
  std::vector<std::int64_t> chosen = options.heads;
  for (std::int64_t head = 0; options.heads.empty() && head < heads; ++head) chosen.push_back(head);
  for (const std::int64_t head : chosen) {
    WEFT_CHECK(head >= 0 && head < heads, "heat map {}: there is no head {}, its heads are 0 to {}", name, head,
               heads - 1);
    HeatMap::Panel panel{.layer = map.layers.size(), .head = head, .rows = rows, .columns = columns, .values = {}};
    const std::int64_t begin = (options.example * heads + head) * rows * columns;
    for (std::int64_t i = 0; i < rows * columns; ++i) panel.values.push_back(w.at(begin + i));
    divide_by(panel.values, rows, columns, options.divide);
    map.panels.push_back(std::move(panel));
  }
  drawn.last = map.panels.size();
  map.layers.push_back(std::move(drawn));
}

bool is_picture(const std::filesystem::path& path) { return path.extension() == ".svg"; }

}  // namespace

HeatMap heat_map(const std::vector<HeatMapLayer>& layers, const HeatMapOptions& options) {
  WEFT_CHECK(!layers.empty(), "a heat map needs weights, there is no layer");
  WEFT_CHECK(options.panels_in_line >= 1, "a heat map needs at least 1 panel in a line, got {}",
             options.panels_in_line);
  HeatMap map;
  map.title = visible_title(options.title, longest_title);
  map.subtitle =
      visible_title(fmt::format("rows: {}, columns: {}{}", options.row_name, options.column_name, said(options.divide)),
                    longest_title);
  map.panels_in_line = options.panels_in_line;
  std::int64_t cells = 0;
  for (const HeatMapLayer& layer : layers) {
    const auto heads = static_cast<std::int64_t>(options.heads.size());
    cells += options.heads.empty() || layer.weights.rank() < 3
                 ? layer.weights.size()
                 : heads * layer.weights.extent(-1) * layer.weights.extent(-2);
    WEFT_CHECK(cells <= most_cells,
               "a heat map holds at most {} cells, this one has {} or more; hint: choose heads, layers "
               "or fewer tokens",
               most_cells, cells);
    add_layer(map, layer, options);
  }
  double least = 0, most = -std::numeric_limits<double>::infinity();
  for (const HeatMap::Panel& panel : map.panels)
    for (const double value : panel.values) {
      if (!std::isfinite(value)) {
        ++map.not_finite;
        continue;
      }
      least = std::min(least, value);
      most = std::max(most, value);
    }
  const auto given = options.range.value_or(std::pair{least, most > least ? most : least + 1});
  WEFT_CHECK(std::isfinite(given.first) && std::isfinite(given.second) && given.first < given.second,
             "the range of a heat map must go from a number to a larger one, got {} to {}", given.first, given.second);
  map.low = given.first;
  map.high = given.second;
  return map;
}

double HeatMap::share(double value) const {
  if (!std::isfinite(value)) return std::numeric_limits<double>::quiet_NaN();
  return std::clamp((value - low) / (high - low), 0.0, 1.0);
}

void expect_heat_map_file(const std::string& path) {
  WEFT_CHECK(is_picture(path) || std::filesystem::path(path).extension() == ".txt",
             "a heat map is written as .svg or .txt, got '{}'", path);
  expect_writable(path);
}

void write_heat_map(const std::string& path, const HeatMap& map, const HeatMapText& text) {
  expect_heat_map_file(path);
  const std::string document = is_picture(path) ? map.svg() : map.str(text);
  write_atomically(path, [&](WriteBytes write) { write(std::as_bytes(std::span(document))); });
}

std::ostream& operator<<(std::ostream& out, const HeatMap& map) { return out << map.str(); }

}  // namespace weft
