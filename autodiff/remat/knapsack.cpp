#include <weft/autodiff/remat/knapsack.h>

#include <algorithm>

namespace weft {

std::vector<bool> knapsack(const std::vector<KnapsackItem>& items, std::size_t capacity, std::size_t steps) {
  const double unit = static_cast<double>(capacity) / static_cast<double>(steps);
  auto units = [&](std::size_t weight) -> std::size_t {
    if (weight == 0) return 0;
    if (weight > capacity) return steps + 1;
    auto count = static_cast<std::size_t>(static_cast<double>(weight) / unit);
    while (count < steps && static_cast<double>(count) * unit < static_cast<double>(weight)) ++count;
    return std::min(count, steps);
  };
  std::vector<double> best(steps + 1, 0);  // by capacity in units
  std::vector<std::vector<bool>> taken(items.size(), std::vector<bool>(steps + 1, false));
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::size_t weight = units(items[i].weight);
    for (std::size_t room = steps + 1; room-- > weight;)
      if (const double value = best[room - weight] + items[i].value; value >= best[room]) {
        best[room] = value;
        taken[i][room] = true;
      }
  }
  std::vector<bool> chosen(items.size(), false);
  std::size_t room = steps;
  for (std::size_t i = items.size(); i-- > 0;)
    if (taken[i][room]) {
      chosen[i] = true;
      room -= units(items[i].weight);
    }
  return chosen;
}

}  // namespace weft
