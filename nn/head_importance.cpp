#include <weft/nn/head_importance.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <ostream>

namespace weft::nn {

void HeadImportance::add(const Result& result, const Step& step) {
  bool any = false;
  for (const AttentionNode& node : attention_nodes(step, "HeadImportance")) {
    const std::string name = "importance/" + node.path, gates = name + "/gates";
    if (!step.has_fetch(name)) continue;
    any = true;
    WEFT_CHECK(result.has(name),
               "HeadImportance: the result has no '{}', which the step publishes; hint: give the step that ran", name);
    const Tensor scores = result.tensor(name);
    for (std::int64_t i = 0; i < scores.size(); ++i) {
      const std::int64_t head = result.has(gates) ? static_cast<std::int64_t>(result.tensor(gates).at(i)) : i;
      sums_[{node.path, head}] += scores.at(i);
    }
  }
  WEFT_CHECK(any,
             "HeadImportance: this step publishes no importance of heads; hint: step | gate_importance(nn::heads())");
  ++results_;
}

std::vector<RankedHead> HeadImportance::ranked() const {
  WEFT_CHECK(results_ > 0, "HeadImportance: no result was added");
  std::map<std::string, double> squares;
  for (const auto& [key, sum] : sums_) squares[key.first] += sum * sum;
  std::vector<RankedHead> list;
  for (const auto& [key, sum] : sums_) {
    const double norm = std::sqrt(squares[key.first]);
    list.push_back({key.first, key.second, sum / static_cast<double>(results_), norm > 0 ? sum / norm : 0});
  }
  std::ranges::stable_sort(list, std::greater{}, &RankedHead::normalised);
  return list;
}

HeadSelections HeadImportance::least(std::int64_t count) const {
  const std::vector<RankedHead> list = ranked();
  WEFT_CHECK(count >= 0 && count <= std::ssize(list), "HeadImportance: {} heads are ranked, {} are asked for",
             list.size(), count);
  HeadSelections least;
  for (auto head = list.end() - count; head != list.end(); ++head) least.push_back({head->path, {head->head}});
  return least;
}

std::string HeadImportance::str() const {
  std::size_t width = 4;
  const std::vector<RankedHead> list = ranked();
  for (const RankedHead& head : list) width = std::max(width, head.path.size());
  std::string text = fmt::format("{:<{}} head  importance  of its layer\n", "path", width);
  for (const RankedHead& head : list)
    text += fmt::format("{:<{}} {:>4}  {:>10.4g}  {:>12.3f}\n", head.path, width, head.head, head.importance,
                        head.normalised);
  return text;
}

std::string HeadImportance::json() const {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const RankedHead& head : ranked())
    all.push_back(
        {{"path", head.path}, {"head", head.head}, {"importance", head.importance}, {"normalised", head.normalised}});
  return all.dump();
}

std::ostream& operator<<(std::ostream& out, const HeadImportance& importance) { return out << importance.str(); }

}  // namespace weft::nn
