#include <weft/runtime/gemm.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/profile.h>
#include <weft/runtime/tensor.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <ostream>

#include <nlohmann/json.hpp>

namespace weft {
namespace {

double seconds_of(FunctionRef<void()> work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double shortest(int times, FunctionRef<void()> work) {
  double best = seconds_of(work);
  for (int i = 1; i < times; ++i) best = std::min(best, seconds_of(work));
  return best;
}

std::string line(const Profile& profile, const ProfileRow& row, const std::string& name) {
  return fmt::format("{:>9.3f} {:>5.1f}% {:>8.2f} {:>7.2f} {:>6.0f}%  {}\n", row.seconds * 1e3,
                     100 * row.seconds / profile.seconds, row.flops_rate() * 1e-9, row.bytes_rate() * 1e-9,
                     100 * profile.share_of_limit(row), name);
}

bool longer(const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; }

}  // namespace

MachineRates measured_rates() {
  constexpr std::int64_t side = 1024, floats = std::int64_t{1} << 24;
  MachineRates rates;
  {
    const Tensor a(f32, {side, side}), b(f32, {side, side});
    Tensor c(f32, {side, side});
    const Gemm product{.m = side, .n = side, .k = side};
    const double seconds = shortest(5, [&] { gemm(product, f32, f32, a.raw(), b.raw(), c.raw()); });
    rates.product_flops = 2.0 * side * side * side / seconds;
  }
  const Tensor from(f32, {floats});
  Tensor to(f32, {floats});
  constexpr std::int64_t piece = 1 << 16;
  const double seconds = shortest(5, [&] {
    parallel_for(floats / piece, [&](std::int64_t tile, int) {
      std::memcpy(to.data<float>() + tile * piece, from.data<float>() + tile * piece, piece * sizeof(float));
    });
  });
  rates.bytes = 2.0 * static_cast<double>(floats) * sizeof(float) / seconds;
  return rates;
}

double Profile::share_of_limit(const ProfileRow& row) const {
  return std::max(row.cost.flops / limit.product_flops, row.cost.bytes / limit.bytes) / row.seconds;
}

std::vector<ProfileRow> Profile::by_op() const {
  std::vector<ProfileRow> sorted = rows;
  std::ranges::stable_sort(sorted, longer);
  std::vector<ProfileRow> sums;
  std::map<std::string, std::size_t> at;
  for (const ProfileRow& row : sorted) {
    const auto [found, is_new] = at.try_emplace(row.op, sums.size());
    if (is_new) {
      sums.push_back(row);
      continue;
    }
    ProfileRow& sum = sums[found->second];
    sum.times += row.times;
    sum.seconds += row.seconds;
    sum.last += row.last;
    sum.cost = {sum.cost.flops + row.cost.flops, sum.cost.bytes + row.cost.bytes};
  }
  std::ranges::stable_sort(sums, longer);
  return sums;
}

std::string Profile::str(std::size_t most) const {
  double inside = 0;
  for (const ProfileRow& row : rows) inside += row.seconds;
  std::string text = fmt::format(
      "profile: {:.3f} ms a run, {} nodes ({:.3f} ms), {} threads; limit: {:.0f} GFLOP/s, {:.1f} GB/s\n"
      "       ms  share  GFLOP/s    GB/s  limit  op\n",
      seconds * 1e3, rows.size(), inside * 1e3, threads, limit.product_flops * 1e-9, limit.bytes * 1e-9);
  for (const ProfileRow& row : by_op()) text += line(*this, row, fmt::format("{} ({})", row.op, row.times));
  std::vector<ProfileRow> sorted = rows;
  std::ranges::stable_sort(sorted, longer);
  if (sorted.size() > most) sorted.resize(most);
  text += "       ms  share  GFLOP/s    GB/s  limit  node\n";
  for (const ProfileRow& row : sorted)
    text += line(*this, row, fmt::format("{} [{}] {} ({})", row.path, row.op, row.type, row.where));
  return text;
}

std::string Profile::chrome_trace() const {
  nlohmann::json events = nlohmann::json::array();
  for (const ProfileRow& row : rows)
    events.push_back(
        {{"name", row.path},
         {"cat", row.op},
         {"ph", "X"},
         {"ts", row.start * 1e6},
         {"dur", row.last * 1e6},
         {"pid", 1},
         {"tid", 1},
         {"args", {{"type", row.type}, {"line", row.where}, {"flops", row.cost.flops}, {"bytes", row.cost.bytes}}}});
  return nlohmann::json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump(1);
}

std::ostream& operator<<(std::ostream& out, const Profile& profile) { return out << profile.str(); }

}  // namespace weft
