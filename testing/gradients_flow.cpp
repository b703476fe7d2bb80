#include <weft/testing/gradients.h>

#include <weft/autodiff/gradient.h>
#include <weft/graph/reach.h>
#include <weft/inspect/audit/audit.h>
#include <weft/inspect/audit/blocks.h>
#include <weft/inspect/divergence/one_run.h>
#include <weft/inspect/equivalence/trial.h>
#include <weft/inspect/gradients/arrivals.h>
#include <weft/inspect/gradients/gradient_report.h>
#include <weft/inspect/gradients/zero_start.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/fetch.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

namespace weft::testing {
namespace {

const std::string terms_of = "terms of ";

double norm_of(const Tensor& tensor) {
  long double total = 0;
  for (const double x : doubles(tensor)) total += static_cast<long double>(x) * x;
  return static_cast<double>(std::sqrt(total));
}

// The cotangent of every value that the loss is made from: behind which node nothing is left of the gradient.
class Cotangents {
 public:
  Cotangents(const Step& step, std::span<const Feed> feeds, const Store& store)
      : step_(step.over(step.graph.clone())), leads_(leads_to_loss(step_)) {
    std::vector<Value> sums, cotangents;
    for (std::size_t i = 0; i < step_.loss.terms.size(); ++i) {
      sums.push_back(step_.loss.terms[i].sum);
      const bool seeded = i < step_.seeds.size() && step_.seeds[i].valid();
      cotangents.push_back(seeded ? step_.seeds[i] : ones_like(sums.back()));
    }
    std::vector<Value> values;
    for (const NodeId id : step_.graph.ids()) {
      const Node& node = step_.graph.node(id);
      for (std::uint32_t k = 0; leads_.contains(id) && k < node.types.size(); ++k)
        if (is_float(node.types[k].dtype)) values.push_back(step_.graph.value(id, k));
    }
    const std::vector<Value> gradients = vector_jacobian(sums, cotangents, values);
    Step wanted = without_results(step_);
    for (std::size_t i = 0; i < values.size(); ++i) {
      wanted.set_fetch(value_name(values[i].ref()), values[i]);
      if (gradients[i].valid()) wanted.set_fetch("gradient " + value_name(values[i].ref()), gradients[i]);
    }
    const OneRun run(wanted, store, feeds);
    for (const Value& value : values) {
      ranges_[value.ref()] = range_str(run.tensor(value_name(value.ref())));
      const std::string gradient = "gradient " + value_name(value.ref());
      norms_[value.ref()] = run.has(gradient) ? norm_of(run.tensor(gradient)) : 0;
    }
  }

  /// The first node that reads what is made of `parameter` and through whose output the gradient still comes.
  std::string lost_at(const Value& parameter, double threshold) const {
    const NodeSet carries = descendants(step_.graph, {step_.find(parameter)},
                                        [&](const Node& reader, ValueRef) { return leads_.contains(reader.id); });
    for (const NodeId id : step_.graph.ids()) {
      const Node& node = step_.graph.node(id);
      const auto from = std::ranges::find_if(node.operands, [&](ValueRef ref) { return carries.contains(ref.node); });
      if (!carries.contains(id) || from == node.operands.end()) continue;
      for (std::uint32_t k = 0; k < node.types.size(); ++k) {
        const auto found = norms_.find({id, k});
        if (found == norms_.end() || !(found->second > threshold)) continue;
        std::string text = fmt::format("lost in {} [{}] ({}): the norm is {:.3g} behind it, {} before; it reads",
                                       node.name, node.op->name, str(node.where), found->second,
                                       std::isnan(norms_.at(*from)) ? "NaN" : fmt::format("{:.3g}", norms_.at(*from)));
        for (const ValueRef ref : node.operands)
          if (const auto range = ranges_.find(ref); range != ranges_.end())
            text += fmt::format(" {} {};", step_.graph.value(ref).name(), range->second);
        text.pop_back();
        return text;
      }
    }
    return "the loss's own gradient is below the threshold";
  }

 private:
  static std::string value_name(ValueRef ref) { return fmt::format("value {}.{}", ref.node, ref.output); }

  Step step_;
  NodeSet leads_;
  std::map<ValueRef, double> norms_;
  std::map<ValueRef, std::string> ranges_;
};

std::string cut_of(const Audit& audited, const std::string& path) {
  for (const Audit::Row& row : audited.parameters)
    if (row.path == path && !row.cut.empty()) return row.cut;
  return "no gradient reaches it";
}

// Parameters whose gradient is a sum of cotangents that cancel (GradientThresholds::cancels), by path.
std::set<std::string> cancelling(const Step& step, std::span<const Feed> feeds, const Store& store) {
  Step watched = observed(step);
  const std::vector<Gradient> gradients = watched.gradients;
  watched = without_results(watched);
  std::map<std::string, double> roundings;
  for (const Gradient& gradient : gradients)
    if (const auto [terms, rounding] = arriving(watched, gradient.value); terms.valid()) {
      watched.set_fetch(gradient.parameter.name(), gradient.value);
      watched.set_fetch(terms_of + gradient.parameter.name(), terms);
      roundings[gradient.parameter.name()] = rounding;
    }
  std::set<std::string> paths;
  if (watched.fetches.empty()) return paths;
  const OneRun run(watched, store, feeds);
  for (const auto& [path, rounding] : roundings)
    if (GradientThresholds{}.has_cancelled(norm_of(run.tensor(path)), run.scalar(terms_of + path), rounding))
      paths.insert(path);
  return paths;
}

}  // namespace

Outcome gradients_flow(const Step& step, double threshold, const RunOptions& options) {
  step.graph.check();
  WEFT_CHECK(!step.gradients.empty(), "GradientsFlow: the step has no gradients; hint: training_step(loss)");
  WEFT_CHECK(threshold >= 0, "GradientsFlow: the threshold must be at least 0, got {}", threshold);
  const NamedTensors feeds = feeds_for(step.graph, options);
  Step seen = observed(step);
  std::erase_if(seen.fetches, [](const Fetch& fetch) { return !fetch.name.starts_with(gradient_fetch("")); });
  seen.updates.clear();
  const Store store = store_for(seen, options);
  const std::vector<Feed> given = feeds_of(feeds);
  const OneRun run(seen, store, given);

  const Audit audited = audit(step);
  std::optional<Cotangents> cotangents;
  std::optional<std::set<std::string>> cancel;
  std::string bad, good, why_not;
  std::size_t few = 0;
  for (const Value& parameter : step.parameters) {
    const std::string path = parameter.name(), name = gradient_fetch(path);
    if (!run.has(name)) {
      ++few;
      bad += fmt::format("\n  {}: no gradient; {}", place_str(parameter), cut_of(audited, path));
      continue;
    }
    const double norm = norm_of(run.tensor(name));
    if (std::isfinite(norm) && norm > threshold) {
      good += fmt::format("\n  {}: norm {:.3g}", path, norm);
      continue;
    }
    if (std::isfinite(norm) && norm > 0) {
      if (!cancel) cancel = cancelling(step, given, store);
      if (cancel->contains(path)) {
        good += fmt::format("\n  {}: norm {:.3g}: the cotangents that it sums cancel, the loss does not depend on it",
                            path, norm);
        continue;
      }
    }
    ++few;
    bad += "\n  " + place_str(parameter);
    if (!std::isfinite(norm)) {
      bad += ": the norm is not finite; AllFinite() says where that begins";
      continue;
    }
    bad += fmt::format(": norm {:.3g}", norm);
    for (const Value& factor : norm == 0 ? behind_zeros(step, parameter) : Values{})
      if (run.has(gradient_fetch(factor.name())) && norm_of(run.tensor(gradient_fetch(factor.name()))) > threshold) {
        bad += fmt::format(
            "; {} starts at 0 and is a factor of all that it does; hint: after a step of training it flows, "
            "give that store (RunOptions::store)",
            place_str(factor));
        break;
      }
    if (step.micro_batches > 1 || !why_not.empty()) continue;
    try {
      if (!cotangents) cotangents.emplace(step, given, store);
      bad += "; " + cotangents->lost_at(parameter, threshold);
    } catch (const UserError& error) {  // an op on the path that only a transform's backward goes around
      why_not = error.what();
    }
  }
  const std::size_t all = step.parameters.size();
  if (few == 0) return {true, fmt::format("the gradients of {} parameters are above {:g}:{}", all, threshold, good)};
  std::string text =
      fmt::format("{} of {} trained parameters have no gradient above {:g}:{}", few, all, threshold, bad);
  if (!good.empty()) text += "\nthe others:" + good;
  return {false, text};
}

}  // namespace weft::testing
