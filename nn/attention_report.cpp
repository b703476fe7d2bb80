#include <weft/nn/attention_report.h>

#include <weft/graph/taps.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

namespace weft::nn {
namespace {

constexpr std::string_view folder = "attention/", mark = "/entropy";

// Of the taps, in the order in which they were made.
std::vector<std::string> tapped_paths(const Step& step) {
  const std::vector<std::string> taps = taps_of(step);
  std::vector<std::string> paths;
  for (const Fetch& fetch : step.fetches) {
    const std::string& name = fetch.name;
    if (!name.starts_with(folder) || !name.ends_with(mark) || !std::ranges::binary_search(taps, name)) continue;
    paths.push_back(name.substr(folder.size(), name.size() - folder.size() - mark.size()));
  }
  return paths;
}

class Reader {
 public:
  Reader(const Result& result, std::string path) : result_(result), path_(std::move(path)) {}

  bool has(const std::string& name) const { return result_.has(full(name)); }
  Tensor tensor(const std::string& name) const {
    WEFT_CHECK(has(name),
               "attention_report: the result has no '{}', which the step publishes; hint: give the step that ran",
               full(name));
    return result_.tensor(full(name));
  }

  LayerReport layer() const {
    LayerReport layer{
        path_, has("diversity") ? tensor("diversity").item() : std::numeric_limits<double>::quiet_NaN(), {}};
    const Tensor entropy = tensor("entropy"), maximum = tensor("maximum");
    const std::int64_t heads = entropy.size();
    for (std::int64_t i = 0; i < heads; ++i) {
      HeadReport head{.path = path_, .head = has("heads") ? static_cast<std::int64_t>(tensor("heads").at(i)) : i};
      head.entropy = entropy.at(i);
      head.sparsity = tensor("sparsity").at(i);
      head.peak = tensor("peak").at(i);
      for (std::int64_t b = 0; b < maximum.extent(0); ++b)
        head.maximum = std::max(head.maximum, maximum.at(b * heads + i));
      for (std::size_t p = 0; p < head_patterns.size(); ++p) {
        const std::string pattern = name_of(head_patterns[p]);
        head.share[p] = tensor("share/" + pattern).at(i);
        head.chance[p] = tensor("chance/" + pattern).at(i);
      }
      layer.heads.push_back(std::move(head));
    }
    return layer;
  }

 private:
  std::string full(const std::string& name) const { return fmt::format("{}{}/{}", folder, path_, name); }

  const Result& result_;
  std::string path_;
};

nlohmann::ordered_json number(double value) { return std::isfinite(value) ? nlohmann::ordered_json(value) : nullptr; }

}  // namespace

HeadPattern HeadReport::dominant() const {
  constexpr double margin_of_block = 0.05;
  const auto excess = [&](std::size_t p) {
    return chance[p] < 1 && std::isfinite(share[p]) ? (share[p] - chance[p]) / (1 - chance[p]) : 0;
  };
  std::size_t best = 0, block = 0;
  for (std::size_t p = 0; p < head_patterns.size(); ++p) {
    if (head_patterns[p] == HeadPattern::block) block = p;
    else if (excess(p) > excess(best)) best = p;
  }
  return head_patterns[excess(block) > excess(best) + margin_of_block ? block : best];
}

const HeadReport& AttentionReport::head(const std::string& path, std::int64_t head) const {
  for (const LayerReport& layer : layers)
    for (const HeadReport& found : layer.heads)
      if (layer.path == path && found.head == head) return found;
  std::string paths;
  for (const LayerReport& layer : layers) paths += (paths.empty() ? "" : ", ") + layer.path;
  WEFT_FAIL("head {} of '{}' is not in this report of {}", head, path, paths);
}

std::string AttentionReport::str() const {
  std::size_t width = 4;
  for (const LayerReport& layer : layers) width = std::max(width, layer.path.size());
  std::string text =
      fmt::format("{:<{}} head  entropy  sparsity  peak  maximum  pattern   strength  diversity\n", "path", width);
  for (const LayerReport& layer : layers)
    for (const HeadReport& head : layer.heads)
      text += fmt::format("{:<{}} {:>4}  {:>7.3f}  {:>8.3f}  {:>4.2f}  {:>7.3f}  {:<8}  {:>8.3f}  {:>9.3f}\n",
                          head.path, width, head.head, head.entropy, head.sparsity, head.peak, head.maximum,
                          name_of(head.dominant()), head.strength(), layer.diversity);
  return text;
}

std::string AttentionReport::json() const {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const LayerReport& layer : layers) {
    nlohmann::ordered_json heads = nlohmann::ordered_json::array();
    for (const HeadReport& head : layer.heads) {
      nlohmann::ordered_json shares;
      for (std::size_t p = 0; p < head_patterns.size(); ++p) shares[name_of(head_patterns[p])] = number(head.share[p]);
      heads.push_back({{"head", head.head},
                       {"entropy", number(head.entropy)},
                       {"sparsity", number(head.sparsity)},
                       {"peak", number(head.peak)},
                       {"maximum", number(head.maximum)},
                       {"pattern", name_of(head.dominant())},
                       {"strength", number(head.strength())},
                       {"shares", shares}});
    }
    all.push_back({{"path", layer.path}, {"diversity", number(layer.diversity)}, {"heads", heads}});
  }
  return nlohmann::ordered_json{{"layers", all}}.dump();
}

std::ostream& operator<<(std::ostream& out, const AttentionReport& report) { return out << report.str(); }

AttentionReport attention_report(const Result& result, const Step& step) {
  AttentionReport report;
  for (const std::string& path : tapped_paths(step)) report.layers.push_back(Reader(result, path).layer());
  WEFT_CHECK(!report.layers.empty(),
             "attention_report: no attention of this step is tapped; hint: step | tap_attention()");
  return report;
}

}  // namespace weft::nn
