#include <weft/graph/error.h>
#include <weft/io/heat_map.h>
#include <weft/io/label.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace weft {
namespace {

constexpr std::array<const char*, 5> shades{" ", "░", "▒", "▓", "█"};

std::string padded(const std::string& text, std::int64_t columns) {
  return text + std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, columns - label_columns(text))), ' ');
}
std::string aligned_right(const std::string& text, std::int64_t columns) {
  return std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, columns - label_columns(text))), ' ') + text;
}

// A cell of `columns` columns.
std::string cell(double share, bool digits, std::int64_t columns) {
  if (digits)
    return padded(std::isnan(share) ? "?"
                  : share == 0      ? "."
                                    : fmt::format("{}", std::min(9, static_cast<int>(share * 10 + 1e-9))),
                  columns);
  const char* const shade = std::isnan(share) ? "?" : shades[static_cast<std::size_t>(std::lround(share * 4))];
  std::string text;
  for (std::int64_t i = 0; i < columns; ++i) text += shade;
  return text;
}

// Column labels written downwards, their last character right above their column.
struct Head {
  std::vector<std::vector<std::string>> labels;  ///< of each column, character by character
  std::size_t height = 0;
  bool wide = false;  ///< some character takes two columns

  explicit Head(const std::vector<std::string>& columns) {
    for (const std::string& label : columns) {
      labels.push_back(label_characters(label));
      height = std::max(height, labels.back().size());
      for (const std::string& character : labels.back()) wide = wide || label_columns(character) > 1;
    }
  }
  std::string line(std::size_t index, std::int64_t begin, std::int64_t end, std::int64_t cell_columns) const {
    std::string text;
    for (std::int64_t j = begin; j < end; ++j) {
      const auto& label = labels[static_cast<std::size_t>(j)];
      const std::size_t above = height - label.size();
      text += padded(index < above ? "" : label[index - above], cell_columns);
    }
    return text;
  }
};

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + '\n';
}

}  // namespace

std::string HeatMap::str(const HeatMapText& options) const {
  std::string text = title.empty() ? "" : title + "\n";
  text += subtitle + "\n";
  for (const Panel& panel : panels) {
    const Layer& layer = layers[panel.layer];
    std::int64_t label = 0;
    for (const std::string& row : layer.rows) label = std::max(label, label_columns(row));
    const Head head(layer.columns);
    const std::int64_t room = options.width - label - 3;  // "label |cells|"
    const std::int64_t columns = head.wide || 2 * panel.columns <= room ? 2 : 1, most = room / columns;
    WEFT_CHECK(most >= 1, "a heat map in text needs {} columns for its labels and a cell, got a width of {}",
               label + 3 + columns, options.width);
    text += fmt::format("\n{}{}head {}\n", layer.title, layer.title.empty() ? "" : ", ", panel.head);
    for (std::int64_t begin = 0; begin < panel.columns; begin += most) {
      const std::int64_t end = std::min(begin + most, panel.columns);
      if (begin > 0) text += '\n';
      const std::string indent(static_cast<std::size_t>(label + 2), ' ');
      for (std::size_t i = 0; i < head.height; ++i)
        text += without_trailing_spaces(indent + head.line(i, begin, end, columns));
      for (std::int64_t i = 0; i < panel.rows; ++i) {
        text += aligned_right(layer.rows[static_cast<std::size_t>(i)], label) + " |";
        for (std::int64_t j = begin; j < end; ++j) text += cell(share(panel.at(i, j)), options.digits, columns);
        text += "|\n";
      }
    }
  }
  text += '\n';
  if (options.digits) {
    text += fmt::format("0 to 9: tenths of the way from {:.3g} to {:.3g}; .: {:.3g}\n", low, high, low);
  } else {
    for (std::size_t i = 0; i < shades.size(); ++i)
      text += fmt::format("{}\"{}\" {:.3g}", i == 0 ? "" : ", ", shades[i],
                          low + (high - low) * static_cast<double>(i) / 4);
    text += '\n';
  }
  if (not_finite > 0) text += fmt::format("?: not finite, {}\n", not_finite);
  return text;
}

}  // namespace weft
