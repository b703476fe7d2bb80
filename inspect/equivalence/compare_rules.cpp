// What each step promises by itself: the rule of its loss scale, runs that are skipped, numbers that stay wide.
#include <weft/inspect/equivalence/compare.h>

#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace weft {

// PyTorch's rule (torch/amp/grad_scaler.py, _amp_update_scale_), held between its least and its greatest.
void Comparison::scale_follows_its_rule(const Trial& trial, const Observation& seen) {
  if (!trial.step().loss_scale || !trial.step().loss_scale->tracker.valid()) return;
  const LossScale& scale = *trial.step().loss_scale;
  const std::string name = scale.scale.name(), tracker = scale.tracker.name();
  const Tensor *scale_after = find_in(seen.cells, name), *tracker_after = find_in(seen.cells, tracker);
  if (scale_after == nullptr || tracker_after == nullptr) return;
  double expected = seen.starts.at(name).item(), clean = seen.starts.at(tracker).item() + 1;
  if (!seen.due || !seen.counted) {  // a run that does not end its accumulation, or whose loss has no weight
    clean -= 1;
  } else if (!seen.finite) {
    expected = std::max(expected * scale.rule.backoff, scale.rule.least);
    clean = 0;
  } else if (clean == static_cast<double>(scale.rule.window)) {
    const double grown = expected * scale.rule.growth;
    if (std::isfinite(grown)) expected = std::min(grown, scale.rule.greatest);
    clean = 0;
  }
  for (const auto& [path, cell, wanted] :
       {std::tuple(name, scale_after, expected), std::tuple(tracker, tracker_after, clean)}) {
    Equivalence::Row row = this->row("loss scale", path, cell->dtype());
    row.error = std::abs(cell->item() - wanted);
    row.passed = row.error <= bounds::spread_of_scale * wanted;
    if (!row.passed)
      row.note = fmt::format("is {} after a run whose gradients are {}, by its rule it is {}", cell->item(),
                             seen.finite ? "finite" : "not finite", wanted);
    add(row);
  }
}

// Of what an update consists of: parameters, optimizer states, averages, the count. Other cells (the user's own, sums
// over runs) may go on.
void Comparison::skipped_run_changes_nothing(const Trial& trial, const Observation& seen) {
  std::set<std::string> of_user;
  for (const Update& update : trial.step().updates)
    if (update.of_graph) of_user.insert(update.state.name());
  for (const auto& [path, cell] : seen.cells) {
    const bool of_update = trial.store().cells().at(path).trained || path == "updates" ||
                           path.starts_with("optimizer/") || path.starts_with("average/");
    if (!of_update || of_user.contains(path)) continue;
    Equivalence::Row row = this->row("cell", path, cell.dtype());
    row.error = max_abs_difference(cell, seen.starts.at(path));
    row.passed = same_bits(cell, seen.starts.at(path));
    if (!row.passed) row.note = "changed in a run whose gradients are not finite";
    add(row);
  }
}

// A master, a moment or a loss whose every number the coarse type holds was rounded to it before.
void Comparison::watch(const std::string& name, const Tensor& before, const Tensor& after, const Tensor* start) {
  if (claims_.rounds_to != bf16 && claims_.rounds_to != f16) return;
  if (!is_float(before.dtype()) || before.dtype() != after.dtype() || before.size() != after.size()) return;
  const Tensor coarse_before = before.cast(claims_.rounds_to), coarse_after = after.cast(claims_.rounds_to);
  Watched& watched = watched_[name];
  for (std::int64_t i = 0; i < before.size(); ++i) {
    const double old = start != nullptr ? start->at(i) : 0;
    if (start != nullptr &&
        (before.at(i) == old || after.at(i) == old || std::abs(old) < bounds::forgotten * std::abs(after.at(i))))
      continue;
    ++watched.count;
    watched.coarse_before += before.at(i) == coarse_before.at(i);
    watched.coarse_after += after.at(i) == coarse_after.at(i);
    if (watched.last_run != in_.run) ++watched.runs;
    watched.last_run = in_.run;
  }
}

void Comparison::finish() {
  in_.twin = false;
  for (const auto& [name, watched] : watched_) {
    // One run may hold such numbers by chance.
    if (watched.runs < 2 || watched.coarse_after < watched.count || watched.coarse_before == watched.count) continue;
    Equivalence::Row row = this->row(name == "loss" ? "published" : "cell", name, claims_.rounds_to);
    row.passed = false;
    row.note = fmt::format("holds only numbers of {}: it was rounded on the way", name_of(claims_.rounds_to));
    add(row);
  }
}

}  // namespace weft
