#include <weft/inspect/equivalence/trial.h>

#include <weft/optim/unscale_and_check.h>

#include <algorithm>

namespace weft {
namespace {

constexpr std::string_view prefix = "verify_equivalent/gradient/", taken = "verify_equivalent/finite",
                           due = "verify_equivalent/due", counted = "verify_equivalent/counted";

}  // namespace

std::string gradient_fetch(const std::string& path) { return std::string(prefix) + path; }

Step observed(const Step& step) {
  Step copy = step.over(step.graph.clone());
  copy.lowered = false;
  unscale_and_check(copy);
  for (const Gradient& gradient : copy.gradients)
    copy.set_fetch(gradient_fetch(gradient.parameter.node().name), gradient.value);
  copy.set_fetch(std::string(taken), copy.taken);
  if (copy.due.valid()) copy.set_fetch(std::string(due), copy.due);
  if (const Value weight = has_weight(copy); weight.valid()) copy.set_fetch(std::string(counted), weight);
  return copy;
}

Trial::Trial(const Step& step, std::uint64_t seed)
    : step_(step),
      store_(std::make_unique<Store>(step, StoreOptions{.seed = seed})),
      // Where bytes lie changes no bit: no long search for the place of each.
      program_(std::make_unique<Program>(step, *store_, PlanOptions{.effort = Effort::quick})) {
  for (const Update& update : step_.updates) updated_.push_back(update.state.node().name);
  std::ranges::sort(updated_);
}

Observation Trial::run(const NamedTensors& feeds) {
  start_ = std::make_unique<Store>(store_->clone());
  const Result result = program_->run(feeds_of(feeds));
  Observation seen;
  for (const Fetch& fetch : step_.fetches) {
    if (fetch.name.starts_with(prefix))
      seen.gradients[fetch.name.substr(prefix.size())] = result.tensor(fetch.name).clone();
    else if (fetch.name != taken && fetch.name != due && fetch.name != counted)
      seen.published[fetch.name] = result.tensor(fetch.name).clone();
  }
  for (const std::string& path : updated_) {
    seen.starts[path] = start_->tensor(path);
    seen.cells[path] = store_->tensor(path).clone();
  }
  seen.finite = result.scalar(taken) != 0;
  seen.due = !result.has(due) || result.scalar(due) != 0;
  seen.counted = !result.has(counted) || result.scalar(counted) != 0;
  return seen;
}

bool is_shared(const std::string& path, const Step& a, const Step& b) {
  for (const Step* step : {&a, &b}) {
    const std::optional<LossScale>& scale = step->loss_scale;
    if (scale && scale->tracker.valid() && (path == scale->scale.name() || path == scale->tracker.name())) return false;
  }
  const bool scaled = a.loss_scale.has_value() || b.loss_scale.has_value();
  return !scaled || !path.starts_with("accumulate/sum");
}

void Trial::take_cells(const Store& from, const Step& step) {
  for (const auto& [path, cell] : store_->cells())
    if (from.has(path) && is_shared(path, step_, step)) store_->set(path, from.tensor(path).cast(cell.tensor.dtype()));
}

}  // namespace weft
