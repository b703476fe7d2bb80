#include <weft/autodiff/remat/memory_frontier.h>
#include <weft/runtime/memory/plan.h>
#include <weft/runtime/svg.h>

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

struct Axis {
  double low, high, step;  // in units
  double from, to;         // in pixels
  double at(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

Axis axis_over(double low, double high, double from, double to) {
  if (high <= low) high = low + std::max(std::abs(low) * 0.01, 1e-9);
  const double step = nice_step(high - low, 6);
  return {std::floor(low / step) * step, std::ceil(high / step) * step, step, from, to};
}

}  // namespace

std::string MemoryFrontier::svg() const {
  const double width = 760, height = 460;
  double least = static_cast<double>(whole_bytes), most = least, fast = whole_seconds, slow = fast;
  for (const Point& point : points) {
    least = std::min(least, static_cast<double>(point.bytes));
    most = std::max(most, static_cast<double>(point.bytes));
    fast = std::min(fast, point.seconds);
    slow = std::max(slow, point.seconds);
  }
  const bool giga = most >= 1073741824.0, mega = most >= 1048576.0;
  const double unit = giga ? 1073741824.0 : mega ? 1048576.0 : 1024.0;
  const double milli = slow < 1 ? 1e3 : 1;
  const Axis x = axis_over(least / unit, most / unit, 80, width - 30);
  const Axis y = axis_over(fast * milli, slow * milli, height - 70, 60);

  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
      "<text x=\"80\" y=\"26\" font-size=\"16\">What memory costs in time: {2} ways to run the step</text>\n"
      "<text x=\"80\" y=\"45\" fill=\"#555\">{3} threads; a ring marks the step without recomputation, {4}</text>\n",
      width, height, points.size(), threads, readable_bytes(whole_bytes));
  for (double v = x.low; v <= x.high + x.step / 2; v += x.step)
    text += fmt::format(
        "<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\" stroke=\"#ddd\"/>"
        "<text x=\"{0:.1f}\" y=\"{3:.1f}\" text-anchor=\"middle\">{4}</text>\n",
        x.at(v), y.to, y.from, y.from + 20, tick_label(v, x.step));
  for (double v = y.low; v <= y.high + y.step / 2; v += y.step)
    text += fmt::format(
        "<path d=\"M{0:.1f} {1:.1f}H{2:.1f}\" stroke=\"#ddd\"/>"
        "<text x=\"{3:.1f}\" y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>\n",
        x.from, y.at(v), x.to, x.from - 8, y.at(v) + 4, tick_label(v, y.step));
  text += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">peak bytes planned, in {}</text>\n",
                      (x.from + x.to) / 2, height - 18,
                      giga   ? "GiB"
                      : mega ? "MiB"
                             : "KiB");
  text += fmt::format(
      "<text transform=\"translate(22 {:.1f}) rotate(-90)\" text-anchor=\"middle\">"
      "time of one step predicted, in {}</text>\n",
      (y.from + y.to) / 2, milli > 1 ? "milliseconds" : "seconds");
  // A budget between two points gives the left one: the curve is a staircase.
  std::string path;
  for (const Point& point : points) {
    const double px = x.at(static_cast<double>(point.bytes) / unit), py = y.at(point.seconds * milli);
    path += path.empty() ? fmt::format("M{:.1f} {:.1f}", px, py) : fmt::format("H{:.1f}V{:.1f}", px, py);
  }
  text += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"1.5\"/>\n", path);
  for (const Point& point : points)
    text += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"#1f77b4\"><title>{}: {:.4f} s, {} nodes again, {}"
        "</title></circle>\n",
        x.at(static_cast<double>(point.bytes) / unit), y.at(point.seconds * milli), readable_bytes(point.bytes),
        point.seconds, point.recomputed, xml_escaped(point.origin));
  text += fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"7\" fill=\"none\" stroke=\"#d62728\" stroke-width=\"1.5\"/>\n</svg>\n",
      x.at(static_cast<double>(whole_bytes) / unit), y.at(whole_seconds * milli));
  return text;
}

}  // namespace weft
