#include <weft/inspect/equivalence/claims.h>

#include <weft/graph/user_rule.h>

#include <algorithm>

namespace weft {
namespace {

// Which entries of `a` and `b` are the same transforms, as many as can be kept in order.
std::pair<std::vector<bool>, std::vector<bool>> common(const std::vector<Applied>& a, const std::vector<Applied>& b) {
  std::vector<std::vector<std::size_t>> length(a.size() + 1, std::vector<std::size_t>(b.size() + 1, 0));
  for (std::size_t i = a.size(); i-- > 0;)
    for (std::size_t j = b.size(); j-- > 0;)
      length[i][j] = a[i].name == b[j].name ? length[i + 1][j + 1] + 1 : std::max(length[i + 1][j], length[i][j + 1]);
  std::pair<std::vector<bool>, std::vector<bool>> kept{std::vector<bool>(a.size()), std::vector<bool>(b.size())};
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i].name == b[j].name) kept.first[i++] = kept.second[j++] = true;
    else if (length[i + 1][j] >= length[i][j + 1]) ++i;
    else ++j;
  }
  return kept;
}

}  // namespace

double unit_roundoff(DType type) {
  switch (type) {
    case DType::bf16:
      return 0x1p-8;
    case DType::f16:
      return 0x1p-11;
    case DType::f32:
      return 0x1p-24;
    default:
      return 0x1p-53;
  }
}

std::vector<GradientTable> Claims::stages(GradientTable table, bool of_before) const {
  std::vector<GradientTable> tables{std::move(table)};
  for (const Equivalence::ClaimLine& line : lines)
    if (line.of_before == of_before && line.transform.claim == Claim::changes_meaning && line.transform.law)
      tables.push_back(user_rule(fmt::format("the law of '{}'", line.transform.name),
                                 [&] { return line.transform.law(tables.back()); }));
  return tables;
}

Claims claims_between(const Step& before, const Step& after, const EquivalenceOptions& options) {
  Claims claims;
  const auto [in_before, in_after] = common(before.applied, after.applied);
  auto add = [&](const Step& step, const std::vector<bool>& shared, bool of_before) {
    for (std::size_t i = 0; i < step.applied.size(); ++i)
      if (!shared[i]) claims.lines.push_back({step.applied[i], of_before});
  };
  add(before, in_before, true);
  add(after, in_after, false);

  auto round_to = [&](DType type) {
    claims.exact = false;
    if (unit_roundoff(type) > unit_roundoff(claims.rounds_to)) claims.rounds_to = type;
  };
  if (options.claim) {
    if (*options.claim == Claim::rounding) round_to(options.rounds_to);
    claims.changes = *options.claim == Claim::changes_meaning;
    return claims;
  }
  for (const Equivalence::ClaimLine& line : claims.lines) switch (line.transform.claim) {
      case Claim::same_bits:
        break;
      case Claim::rounding:
        round_to(line.transform.rounds_to);
        break;
      case Claim::changes_meaning:
        claims.changes = true;
        claims.has_law |= static_cast<bool>(line.transform.law);
        break;
    }
  return claims;
}

}  // namespace weft
