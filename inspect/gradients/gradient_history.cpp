#include <weft/inspect/gradients/gradient_history.h>

#include <weft/runtime/svg.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace weft {
namespace {

constexpr double width = 900, left = 84, top = 64, right = 640, bottom = 424, line_height = 16;
constexpr std::size_t most_named = 24;  // lines of the legend

// "viridis" of matplotlib at nine places: in order for every kind of colour vision and in grey. The first blocks are
// dark.
constexpr std::array<std::uint32_t, 9> viridis{0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c,
                                               0x28ae80, 0x5ec962, 0xaddc30, 0xd8c220};

std::string colour_of(std::size_t i, std::size_t count) {
  const double at = count < 2 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1) * (viridis.size() - 1);
  const std::size_t from = std::min(static_cast<std::size_t>(at), viridis.size() - 2);
  std::uint32_t mixed = 0;
  for (const unsigned shift : {16U, 8U, 0U}) {
    const auto low = static_cast<double>(viridis[from] >> shift & 0xffU),
               high = static_cast<double>(viridis[from + 1] >> shift & 0xffU);
    mixed |= static_cast<std::uint32_t>(std::lround(low + (high - low) * (at - static_cast<double>(from)))) << shift;
  }
  return fmt::format("#{:06x}", mixed);
}

// Whole powers of ten around all norms that are positive.
struct Decades {
  double low = 0, high = 1;
  explicit Decades(const std::vector<GradientHistory::Curve>& curves) {
    double least = std::numeric_limits<double>::infinity(), most = 0;
    for (const auto& curve : curves)
      for (const double norm : curve.norms)
        if (std::isfinite(norm) && norm > 0) {
          least = std::min(least, norm);
          most = std::max(most, norm);
        }
    if (most == 0) return;
    low = std::floor(std::log10(least));
    high = std::max(std::ceil(std::log10(most)), low + 1);
  }
  double y(double norm) const {
    const double share = norm > 0 ? (std::log10(norm) - low) / (high - low) : 0;
    return bottom - std::clamp(share, 0.0, 1.0) * (bottom - top);
  }
};

}  // namespace

void GradientHistory::add(std::int64_t step, const GradientReport& report) {
  WEFT_CHECK(steps_.empty() || step > steps_.back(), "GradientHistory: step {} was given after step {}", step,
             steps_.back());
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  for (const GradientReport::Block& block : report.blocks) {
    if (block.elements == 0) continue;
    if (std::ranges::find(curves_, block.name, &Curve::block) == curves_.end())
      curves_.push_back({block.name, std::vector<double>(steps_.size(), none)});
  }
  for (Curve& curve : curves_) {
    const auto at = std::ranges::find(report.blocks, curve.block, &GradientReport::Block::name);
    curve.norms.push_back(at == report.blocks.end() ? none : at->norm);
  }
  steps_.push_back(step);
}

std::string GradientHistory::svg(const std::string& title) const {
  WEFT_CHECK(!steps_.empty(), "GradientHistory::svg: no report was added");
  const Decades decades(curves_);
  const auto first = static_cast<double>(steps_.front());
  const double range = std::max(static_cast<double>(steps_.back()) - first, 1.0);
  auto x = [&](double step) { return left + (step - first) / range * (right - left); };
  const std::size_t every = (curves_.size() + most_named - 1) / most_named;
  const double height = std::max(
      bottom + 60, top + line_height * static_cast<double>(curves_.size() / std::max<std::size_t>(every, 1) + 2));

  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1:.0f}\" viewBox=\"0 0 {0} {1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n<title>{2}</title>\n<rect width=\"{0}\" height=\"{1:.0f}\" "
      "fill=\"white\"/>\n"
      "<text x=\"{3}\" y=\"26\" font-size=\"16\">{2}</text>\n"
      "<text x=\"{3}\" y=\"46\" fill=\"#555\">{4} blocks, {5} reports; logarithmic</text>\n",
      width, height, xml_escaped(title), left, curves_.size(), steps_.size());
  const double skip = std::max(1.0, std::ceil((decades.high - decades.low) / 10));
  for (double power = decades.low; power <= decades.high; power += skip)
    text += fmt::format(
        "<path d=\"M{0} {1:.1f}H{2}\" stroke=\"#ddd\"/><text x=\"{3}\" y=\"{4:.1f}\" "
        "text-anchor=\"end\">1e{5:.0f}</text>\n",
        left, decades.y(std::pow(10, power)), right, left - 8, decades.y(std::pow(10, power)) + 4, power);
  const double stride = std::max(1.0, nice_step(range, 6));
  for (double step = std::ceil(first / stride) * stride; step <= first + range; step += stride)
    text += fmt::format(
        "<path d=\"M{0:.1f} {1}V{2}\" stroke=\"#ddd\"/><text x=\"{0:.1f}\" y=\"{3}\" "
        "text-anchor=\"middle\">{4}</text>\n",
        x(step), top, bottom, bottom + 18, tick_label(step, stride));
  text += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">step</text>\n", (left + right) / 2,
                      bottom + 40);

  for (std::size_t c = 0; c < curves_.size(); ++c) {
    const Curve& curve = curves_[c];
    const std::string colour = colour_of(c, curves_.size());
    std::string path;
    bool on = false;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (!std::isfinite(curve.norms[i])) {
        on = false;
        continue;
      }
      path +=
          fmt::format("{}{:.1f} {:.1f}", on ? "L" : "M", x(static_cast<double>(steps_[i])), decades.y(curve.norms[i]));
      on = true;
    }
    const std::string name = xml_escaped(curve.block.empty() ? "(top)" : curve.block);
    text += fmt::format(
        "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" "
        "stroke-linecap=\"round\"><title>{}</title></path>\n",
        path.empty() ? "M0 0" : path, colour, name);
    if (steps_.size() == 1 && std::isfinite(curve.norms[0]))
      text += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x(first),
                          decades.y(curve.norms[0]), colour);
    if (c % every != 0) continue;
    const double y = top + line_height * static_cast<double>(c / every);
    text += fmt::format(
        "<path d=\"M{0} {1:.1f}H{2}\" stroke=\"{3}\" stroke-width=\"3\"/><text x=\"{4}\" y=\"{5:.1f}\">{6}</text>\n",
        right + 20, y, right + 40, colour, right + 46, y + 4, name);
  }
  return text + "</svg>\n";
}

}  // namespace weft
