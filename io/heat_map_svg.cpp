#include <weft/io/heat_map.h>
#include <weft/io/label.h>
#include <weft/runtime/svg.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace weft {
namespace {

// --- colours ---------------------------------------------------------------------------------------------------------
// "devon" of Crameri, "Scientific colour maps" 8 (doi 10.5281/zenodo.1243862), reversed: 17 of its 256 colours, the
// rest by lines between them (at most 2 of 255 away). Perceptually uniform, in order for every kind of colour vision
// and in grey, white where there is nothing.
constexpr std::array<std::uint32_t, 17> devon{0xffffff, 0xf2f0fc, 0xe4e2fa, 0xd7d4f7, 0xcac6f4, 0xbeb8f2,
                                              0xafaaee, 0x9a9be7, 0x7d8edc, 0x5f80cf, 0x4272bc, 0x3265a6,
                                              0x29588f, 0x27477b, 0x29386a, 0x2a295b, 0x2c1a4c};
constexpr std::size_t levels = 256;
constexpr const char* not_finite_colour = "#d95f02";  // orange: never taken for a blue

std::size_t level_of(double share) {
  return std::isnan(share) ? levels : static_cast<std::size_t>(std::lround(share * (levels - 1)));
}

std::string colour_of(std::size_t level) {
  if (level == levels) return not_finite_colour;
  const double at = static_cast<double>(level) / (levels - 1) * (devon.size() - 1);
  const std::size_t left = std::min(static_cast<std::size_t>(at), devon.size() - 2);
  std::uint32_t mixed = 0;
  for (const unsigned shift : {16U, 8U, 0U}) {
    const auto from = static_cast<double>(devon[left] >> shift & 0xffU);
    const auto to = static_cast<double>(devon[left + 1] >> shift & 0xffU);
    mixed |= static_cast<std::uint32_t>(std::lround(from + (to - from) * (at - static_cast<double>(left)))) << shift;
  }
  return fmt::format("#{:06x}", mixed);
}

// --- measures, in pixels ---------------------------------------------------------------------------------------------

constexpr double margin = 16, gap = 20, beside = 4;  // around all, between panels, between a matrix and its labels
constexpr double title_size = 17, layer_size = 14, text_size = 12;
constexpr double line_height = 1.2;  // of a font, in ems
constexpr double rise = 0.35;        // from the middle of capitals to their base line, in ems
constexpr double bar_width = 240, bar_height = 12;

double widest(const std::vector<std::string>& labels) {
  double ems = 0;
  for (const std::string& label : labels) ems = std::max(ems, label_ems(label));
  return ems;
}

// Cells are as high as a line of labels, so labels never meet; where there are many, that is 10 pixels and the picture
// grows.
struct Measures {
  double cell, font;
  bool upright;      ///< column labels fit above their column as they are
  double left, top;  ///< from a panel's corner to its matrix
  double width, height;
  std::int64_t in_line, lines;

  Measures(const HeatMap& map, const HeatMap::Layer& layer) {
    const auto rows = static_cast<double>(layer.rows.size()), columns = static_cast<double>(layer.columns.size());
    cell = std::clamp(std::floor((map.panels.size() == 1 ? 560 : 320) / std::max(rows, columns)), 10.0, 28.0);
    font = std::min(13.0, cell / line_height);
    const double column_ems = widest(layer.columns);
    upright = column_ems * font <= cell;
    left = widest(layer.rows) * font + beside;
    top = text_size * line_height + (upright ? 1 : column_ems) * font + 2 * beside;
    double title = 0;
    for (std::size_t k = layer.first; k < layer.last; ++k)
      title = std::max(title, label_ems(fmt::format("head {}", map.panels[k].head)) * text_size);
    width = left + std::max(columns * cell, title);
    height = top + rows * cell;
    const auto count = static_cast<std::int64_t>(layer.last - layer.first);
    lines = (count + map.panels_in_line - 1) / map.panels_in_line;
    in_line = (count + lines - 1) / lines;
  }
};

// --- the document ----------------------------------------------------------------------------------------------------

class Drawing {
 public:
  explicit Drawing(const HeatMap& map) : map_(map) {}

  std::string document() {
    double y = margin;
    if (!map_.title.empty()) y = line(y, title_size, map_.title, " font-weight=\"bold\"");
    y = line(y, text_size, map_.subtitle, " fill=\"#555\"");
    y = colour_bar(y + beside);
    for (const HeatMap::Layer& layer : map_.layers) {
      y += gap;
      if (!layer.title.empty()) y = line(y, layer_size, layer.title, " font-weight=\"bold\"") + beside;
      const Measures m(map_, layer);
      for (std::size_t k = layer.first; k < layer.last; ++k) {
        const auto i = static_cast<std::int64_t>(k - layer.first);
        panel(map_.panels[k], layer, m, margin + static_cast<double>(i % m.in_line) * (m.width + gap),
              y + static_cast<double>(i / m.in_line) * (m.height + gap));
      }
      y += static_cast<double>(m.lines) * (m.height + gap) - gap;
    }
    const double width = std::ceil(right_ + margin), height = std::ceil(y + margin);
    return fmt::format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
               "font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" fill=\"#111\">\n<title>{2}</title>\n"
               "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
               width, height, xml_escaped(map_.title.empty() ? "heat map" : map_.title)) +
           body_ + "</svg>\n";
  }

 private:
  // A line of text from the left margin; the y below it.
  double line(double y, double size, const std::string& text, const char* style) {
    put(margin, y + size, size, text, style);
    return y + size * line_height + beside;
  }

  void put(double x, double y, double size, const std::string& text, const char* style) {
    body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\"{}>{}</text>\n", x, y, size, style,
                         xml_escaped(text));
    right_ = std::max(right_, x + label_ems(text) * size);
  }

  double colour_bar(double y) {
    const double step = nice_step(map_.high - map_.low, 5);
    std::vector<std::pair<double, std::string>> ticks;
    for (double k = std::ceil(map_.low / step - 1e-9); k * step <= map_.high + 1e-9 * step; ++k)
      ticks.emplace_back(k * step, tick_label(k * step, step));
    const double x = margin + (ticks.empty() ? 0 : label_ems(ticks.front().second) * text_size / 2);
    body_ += "<defs><linearGradient id=\"devon\">";
    for (std::size_t i = 0; i < devon.size(); ++i)
      body_ += fmt::format("<stop offset=\"{}\" stop-color=\"#{:06x}\"/>", static_cast<double>(i) / (devon.size() - 1),
                           devon[i]);
    body_ += fmt::format(
        "</linearGradient></defs>\n<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" "
        "fill=\"url(#devon)\" stroke=\"#888\" stroke-width=\"0.6\"/>\n",
        x, y, bar_width, bar_height);
    const double below = y + bar_height + 4;
    for (const auto& [value, label] : ticks) {
      const double at = x + map_.share(value) * bar_width;
      body_ += fmt::format(
          "<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\" stroke=\"#888\"/><text x=\"{0:.1f}\" y=\"{3:.1f}\" "
          "font-size=\"{4}\" text-anchor=\"middle\">{5}</text>\n",
          at, y + bar_height, below, below + text_size, text_size, label);
      right_ = std::max(right_, at + label_ems(label) * text_size / 2);
    }
    if (map_.not_finite > 0) {
      const double at = x + bar_width + 2 * gap;
      body_ += fmt::format("<rect x=\"{0:.1f}\" y=\"{1:.1f}\" width=\"{2}\" height=\"{2}\" fill=\"{3}\"/>\n", at, y,
                           bar_height, not_finite_colour);
      put(at + bar_height + beside, y + bar_height - 1, text_size, fmt::format("not finite: {}", map_.not_finite), "");
    }
    return below + text_size * line_height;
  }

  void panel(const HeatMap::Panel& panel, const HeatMap::Layer& layer, const Measures& m, double px, double py) {
    const double x = px + m.left, y = py + m.top;
    const double width = static_cast<double>(panel.columns) * m.cell, height = static_cast<double>(panel.rows) * m.cell;
    put(x, py + text_size, text_size, fmt::format("head {}", panel.head), "");
    cells(panel, m, x, y);
    body_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#888\" "
        "stroke-width=\"0.6\"/>\n",
        x, y, width, height);
    right_ = std::max(right_, x + width);
    numbers(panel, m, x, y);
    body_ += fmt::format("<g font-size=\"{:.2f}\" text-anchor=\"end\">\n", m.font);
    for (std::size_t i = 0; i < layer.rows.size(); ++i)
      body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x - beside,
                           y + (static_cast<double>(i) + 0.5) * m.cell + rise * m.font, xml_escaped(layer.rows[i]));
    body_ += fmt::format("</g>\n<g font-size=\"{:.2f}\" text-anchor=\"{}\">\n", m.font, m.upright ? "middle" : "start");
    for (std::size_t j = 0; j < layer.columns.size(); ++j) {
      const double at = x + (static_cast<double>(j) + 0.5) * m.cell;
      const std::string label = xml_escaped(layer.columns[j]);
      if (m.upright) body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", at, y - beside, label);
      else
        body_ += fmt::format("<text transform=\"translate({:.1f} {:.1f}) rotate(-90)\">{}</text>\n", at + rise * m.font,
                             y - beside, label);
    }
    body_ += "</g>\n";
  }

  // One path for each colour; neighbours of one colour in a row are one rectangle.
  void cells(const HeatMap::Panel& panel, const Measures& m, double x, double y) {
    std::vector<std::string> paths(levels + 1);
    for (std::int64_t i = 0; i < panel.rows; ++i)
      for (std::int64_t j = 0, end = 0; j < panel.columns; j = end) {
        const std::size_t level = level_of(map_.share(panel.at(i, j)));
        for (end = j + 1; end < panel.columns && level_of(map_.share(panel.at(i, end))) == level;) ++end;
        paths[level] += fmt::format("M{0} {1}h{2}v1h-{2}z", j, i, end - j);
      }
    body_ += fmt::format("<g transform=\"translate({:.1f} {:.1f}) scale({})\" shape-rendering=\"crispEdges\">\n", x, y,
                         m.cell);
    for (std::size_t level = 0; level < paths.size(); ++level)
      if (!paths[level].empty()) body_ += fmt::format("<path fill=\"{}\" d=\"{}\"/>\n", colour_of(level), paths[level]);
    body_ += "</g>\n";
  }

  // In cells that hold them all. A zero is left out: masks stay empty.
  void numbers(const HeatMap::Panel& panel, const Measures& m, double x, double y) {
    const double size = m.cell * 0.34;
    if (size < 9) return;
    std::vector<std::string> texts;
    for (const double value : panel.values)
      texts.push_back(std::isfinite(value) && value != 0 ? fmt::format("{:.2f}", value) : "");
    if (widest(texts) * size + beside > m.cell) return;
    body_ += fmt::format("<g font-size=\"{:.2f}\" text-anchor=\"middle\">\n", size);
    for (std::int64_t i = 0; i < panel.rows; ++i)
      for (std::int64_t j = 0; j < panel.columns; ++j) {
        const std::string& text = texts[static_cast<std::size_t>(i * panel.columns + j)];
        if (text.empty()) continue;
        body_ +=
            fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", x + (static_cast<double>(j) + 0.5) * m.cell,
                        y + (static_cast<double>(i) + 0.5) * m.cell + rise * size,
                        map_.share(panel.at(i, j)) > 0.5 ? " fill=\"white\"" : "", text);
      }
    body_ += "</g>\n";
  }

  const HeatMap& map_;
  std::string body_;
  double right_ = 0;
};

}  // namespace

std::string HeatMap::svg() const { return Drawing(*this).document(); }

}  // namespace weft
