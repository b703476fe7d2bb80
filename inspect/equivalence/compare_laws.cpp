// Gradients through the laws of transforms that change the meaning.
#include <weft/inspect/equivalence/compare.h>

#include <weft/runtime/tensor_values.h>

#include <cmath>
#include <span>

namespace weft {

GradientTable table_of(const std::map<std::string, Tensor>& gradients) {
  GradientTable table;
  for (const auto& [path, tensor] : gradients) table[path] = doubles(tensor);
  return table;
}

std::map<std::string, Tensor> tensors_of(const GradientTable& table) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [path, values] : table)
    tensors[path] = Tensor::of<double>({static_cast<std::int64_t>(values.size())}, std::span<const double>(values));
  return tensors;
}

namespace {

Tensor norm_of(const GradientTable& table) {
  double squares = 0;
  for (const auto& [path, values] : table)
    for (const double g : values) squares += g * g;
  return Tensor::scalar(std::sqrt(squares));
}

}  // namespace

// The norm is taken where the gradients are unscaled: by the first transform that reads them, before or after some
// laws.
void Comparison::norm_by_laws(const Seen& seen, const Seen* other, const Tensor& before, const Tensor& after) {
  // Of the published norm and those at the stages of the laws, the one nearest to what the other step published.
  auto nearest = [](const Tensor& published, const std::vector<GradientTable>& stages, const Tensor& wanted) {
    std::pair<std::size_t, Tensor> best{0, published};
    for (std::size_t i = 1; i < stages.size(); ++i)
      if (const Tensor norm = norm_of(stages[i]);
          max_abs_difference(norm, wanted) < max_abs_difference(best.second, wanted))
        best = {i, norm};
    return best;
  };
  const auto [stage, norm] = nearest(before, claims_.stages(table_of(seen.before.gradients), false), after);
  const auto [other_stage, other_norm] = nearest(after, claims_.stages(table_of(seen.after.gradients), true), norm);
  const Tensor* published = other == nullptr ? nullptr : find_in(other->before.published, "grad_norm");
  Tensor exact;
  if (other != nullptr && stage > 0) {
    exact = norm_of(claims_.stages(table_of(other->before.gradients), false)[stage]);
    published = &exact;
  }
  judge({.kind = "published",
         .name = "grad_norm",
         .before = &norm,
         .after = &other_norm,
         .other = published,
         .exact = claims_.exact && stage == 0 && other_stage == 0});
}

// A law speaks of each gradient that both steps have, in its size, and of no others. (What a transform froze it leaves
// out.)
void Comparison::laws_are_whole(std::map<std::string, Tensor>& told, const std::map<std::string, Tensor>& given,
                                const std::map<std::string, Tensor>& there) {
  std::string laws;
  for (const Equivalence::ClaimLine& line : claims_.lines)
    if (line.transform.law) laws += fmt::format("{}'{}'", laws.empty() ? "" : ", ", line.transform.name);
  auto fail = [&](const std::string& path, const std::string& note) {
    Equivalence::Row row = this->row("gradient", path, f64);
    row.passed = false;
    row.note = fmt::format("the law of {} {}", laws, note);
    add(row);
  };
  for (const auto& [path, tensor] : given) {
    const Tensor* found = find_in(told, path);
    if (found == nullptr && there.contains(path))
      fail(path, "gives nothing for it; hint: it gives back a table with every path of the one that it gets");
    if (found != nullptr && found->size() != tensor.size())
      fail(path, fmt::format("gives {} numbers for it, it has {}", found->size(), tensor.size()));
  }
  for (auto at = told.begin(); at != told.end();) {
    const bool known = given.contains(at->first) && given.at(at->first).size() == at->second.size();
    if (!given.contains(at->first)) fail(at->first, "gives it, and there is no gradient of that path");
    at = known ? std::next(at) : told.erase(at);
  }
}

}  // namespace weft
