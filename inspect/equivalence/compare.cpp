#include <weft/inspect/equivalence/compare.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace weft {
namespace {

// Two numbers that are both not finite are equal: the order of sums decides between inf and NaN.
double distance(double a, double b) {
  if (std::isfinite(a) && std::isfinite(b)) return std::abs(a - b);
  return std::isfinite(a) == std::isfinite(b) ? 0 : std::numeric_limits<double>::infinity();
}

double difference(const Tensor& a, const Tensor& b) {
  double most = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) most = std::max(most, distance(a.at(i), b.at(i)));
  return most;
}

double largest(const Tensor& tensor) {
  double most = 0;
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    if (std::isfinite(tensor.at(i))) most = std::max(most, std::abs(tensor.at(i)));
  return most;
}

double largest(const std::map<std::string, Tensor>& tensors) {
  double most = 0;
  for (const auto& [name, tensor] : tensors) most = std::max(most, largest(tensor));
  return most;
}

// What rounding did to `a`, of which `b` is the value in the other types; 0 where that says nothing.
double rounding_error(const Tensor& a, const Tensor* b) {
  const double error = b == nullptr || b->size() != a.size() ? 0 : difference(a, *b);
  return std::isfinite(error) ? error : 0;
}

GradientTable table_of(const std::map<std::string, Tensor>& gradients) {
  GradientTable table;
  for (const auto& [path, tensor] : gradients) {
    std::vector<double>& values = table[path];
    for (std::int64_t i = 0; i < tensor.size(); ++i) values.push_back(tensor.at(i));
  }
  return table;
}

std::map<std::string, Tensor> tensors_of(const GradientTable& table) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [path, values] : table)
    tensors[path] = Tensor::of<double>({static_cast<std::int64_t>(values.size())}, std::span<const double>(values));
  return tensors;
}

Tensor norm_of(const GradientTable& table) {
  double squares = 0;
  for (const auto& [path, values] : table)
    for (const double g : values) squares += g * g;
  return Tensor::scalar(std::sqrt(squares));
}

// Of the floats in which the step computes.
double coarsest_unit(const Step& step) {
  double unit = 0;
  for (const NodeId id : step.graph.ids())
    for (const TensorType& type : step.graph.node(id).types)
      if (is_float(type.dtype)) unit = std::max(unit, unit_roundoff(type.dtype));
  return unit;
}

// The path of a cell without the path of the parameter that it belongs to.
std::string kind_of(const std::string& path, const Step& step) {
  std::size_t longest = 0;
  for (const Value& parameter : step.parameters) {
    const std::string name = parameter.name();
    if (name.size() > longest && path.ends_with(name)) longest = name.size();
  }
  return path.substr(0, path.size() - longest);
}

const Tensor* find(const std::map<std::string, Tensor>& tensors, const std::string& name) {
  const auto at = tensors.find(name);
  return at == tensors.end() ? nullptr : &at->second;
}

}  // namespace

Comparison::Comparison(const Claims& claims, const EquivalenceOptions& options, const Step& before, Equivalence& result)
    : claims_(claims), options_(options), result_(result), own_unit_(coarsest_unit(before)) {}

// --- One quantity ---------------------------------------------------------------------------------------------------

// An optimizer may magnify the rounding of small gradients (Adam divides by their size): the errors of cells scatter
// more than one measurement of them tells.
double Comparison::of_cell(const Pair& pair) { return pair.start == nullptr ? 1 : 8; }

// |a - b| <= (run + 1) max(1e-12 s, 16 e 2^-53 / u): rounding in f64 is 2^-29 of that in f32, and grows with the runs.
double Comparison::bound_in_twin(const Pair& pair) const {
  const double size = std::max(largest(*pair.before), 1e-2 * pair.floor);
  const double steps = static_cast<double>(run_ + 1), more = of_cell(pair);
  if (pair.other == nullptr) return steps * 1e-10 * size;
  return more * steps *
         std::max(1e-12 * size, 16 * rounding_error(*pair.before, pair.other) * unit_roundoff(f64) / own_unit_);
}

// |a - B| <= 8 (e U / u + U s) + 8 v s, B the exact value (of `before` in f64), e = |b - B| and v of the tensor's type.
double Comparison::bound_in_own(const Pair& pair) const {
  const Tensor& exact = pair.other != nullptr ? *pair.other : *pair.before;
  const double coarse = std::max(own_unit_, unit_roundoff(claims_.rounds_to));
  const double stored = 8 * unit_roundoff(pair.before->dtype()) * largest(exact);
  // Without a twin to measure by: a sum of many terms.
  const double error =
      pair.other != nullptr ? rounding_error(*pair.before, pair.other) : 8 * own_unit_ * largest(exact);
  if (pair.start == nullptr) {
    // A clipped gradient is as wrong as the whole one was, and one measurement of few elements says little.
    // Where all is rounded to a coarser type, that is done at every op on the way and once more for each micro-batch;
    // and parameters that moved by it make the gradients of later runs others.
    const bool rounds = coarse > own_unit_;
    const double size = std::max(largest(exact), (rounds ? 1e-2 : 1e-1) * pair.floor);
    return (rounds ? 12 * static_cast<double>(run_ + 1) : 8) * (error * coarse / own_unit_ + coarse * size) + stored;
  }
  // A cell keeps its own type; what was rounded before is its change. An update by the sign of a gradient (Adam's
  // first) may be wrong by twice its size where a coarse type decides the sign.
  const Tensor& start = pair.other_start != nullptr ? *pair.other_start : *pair.start;
  const double change = std::max(difference(exact, start), 1e-2 * pair.floor);
  const double spread = 8 * of_cell(pair) * (error * coarse / own_unit_ + coarse * change) + stored;
  return coarse > own_unit_ ? std::max(spread, 2.1 * change + stored) : spread;
}

// The largest difference; of elements whose gradient is noise only what goes beyond twice the largest change.
double Comparison::error_of(const Pair& pair, const Tensor& wanted, double bound) const {
  const Tensor &y = *pair.after, *g = pair.gradient_before, *h = pair.gradient_after;
  if (g == nullptr || h == nullptr || g->size() != y.size() || h->size() != y.size()) return difference(wanted, y);
  const double swing = std::max(bound, 2.1 * difference(*pair.before, *pair.start));
  double most = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const double error = distance(wanted.at(i), y.at(i));
    const bool noise = g->at(i) != h->at(i) && std::abs(g->at(i)) < pair.noise && std::abs(h->at(i)) < pair.noise;
    if (!noise || error > swing) most = std::max(most, error);
  }
  return most;
}

Equivalence::Row Comparison::row(const std::string& kind, const std::string& name, DType dtype) const {
  return {.kind = kind, .name = name, .dtype = dtype, .twin = twin_, .run = run_};
}

void Comparison::add(Equivalence::Row row) {
  if (row.note.empty()) ++result_.compared[row.kind];
  if (!row.passed) {
    result_.failures.push_back(row);
    return;
  }
  auto nearness = [](const Equivalence::Row& r) { return r.bound > 0 ? r.error / r.bound : r.error; };
  for (Equivalence::Row& worst : result_.worst)
    if (worst.kind == row.kind && worst.twin == row.twin) {
      if (nearness(row) > nearness(worst)) worst = row;
      return;
    }
  result_.worst.push_back(std::move(row));
}

void Comparison::judge(const Pair& pair) {
  const Tensor &x = *pair.before, &y = *pair.after;
  Equivalence::Row row = this->row(pair.kind, pair.name, x.dtype());
  if (x.dtype() != y.dtype() || x.extents() != y.extents()) {
    row.passed = false;
    row.note = fmt::format("is {} before and {} after", x.type_str(), y.type_str());
    return add(row);
  }
  if (pair.exact || !is_float(x.dtype())) {
    row.error = difference(x, y);
    row.passed = same_bits(x, y);
    if (!row.passed && row.error == 0) row.note = "differs in its bits";
    return add(row);
  }
  const bool to_exact = !twin_ && pair.other != nullptr;
  row.bound = twin_ ? bound_in_twin(pair) : bound_in_own(pair);
  row.error = error_of(pair, to_exact ? *pair.other : x, row.bound);
  row.passed = row.error <= row.bound;
  add(row);
}

// --- One run --------------------------------------------------------------------------------------------------------

void Comparison::compare(std::int64_t run, const Seen& seen, const Trial& before, const Trial& after, const Seen* other,
                         bool twin) {
  run_ = run;
  twin_ = twin;
  if (seen.before.finite != seen.after.finite) {
    Equivalence::Row row = this->row("published", "finite", boolean);
    row.passed = false;
    row.note = fmt::format("the gradients are {} before and {} after", seen.before.finite ? "finite" : "not finite",
                           seen.after.finite ? "finite" : "not finite");
    return add(row);
  }
  // In the order in which a run computes them: what differs is named where it begins.
  published(seen, other, true);
  if (seen.before.finite) gradients(seen, other);
  published(seen, other, false);
  cells(seen, before, after, other);
  scale_follows_its_rule(after, seen.after);
  if (!seen.after.finite) skipped_run_changes_nothing(after, seen.after);
}

void Comparison::published(const Seen& seen, const Seen* other, bool before_gradients) {
  for (const auto& [name, before] : seen.before.published) {
    const Tensor* after = find(seen.after.published, name);
    if (after == nullptr || name == "loss_scale" || before_gradients != (name == "loss")) continue;
    if (!seen.before.finite && is_float(before.dtype())) continue;
    if (name == "grad_norm" && claims_.has_law) {
      norm_by_laws(seen, other, before, *after);
      continue;
    }
    judge({.kind = "published",
           .name = name,
           .before = &before,
           .after = after,
           .other = other == nullptr ? nullptr : find(other->before.published, name),
           .exact = claims_.exact});
    if (!twin_ && name == "loss") watch(name, before, *after, nullptr);
  }
}

// The norm is taken where the gradients are settled: by the first transform that reads them, before or after some laws.
void Comparison::norm_by_laws(const Seen& seen, const Seen* other, const Tensor& before, const Tensor& after) {
  // Of the published norm and those at the stages of the laws, the one nearest to what the other step published.
  auto nearest = [](const Tensor& published, const std::vector<GradientTable>& stages, const Tensor& wanted) {
    std::pair<std::size_t, Tensor> best{0, published};
    for (std::size_t i = 1; i < stages.size(); ++i)
      if (const Tensor norm = norm_of(stages[i]); difference(norm, wanted) < difference(best.second, wanted))
        best = {i, norm};
    return best;
  };
  const auto [stage, norm] = nearest(before, claims_.stages(table_of(seen.before.gradients), false), after);
  const auto [other_stage, other_norm] = nearest(after, claims_.stages(table_of(seen.after.gradients), true), norm);
  const Tensor* published = other == nullptr ? nullptr : find(other->before.published, "grad_norm");
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
    const Tensor* found = find(told, path);
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

void Comparison::gradients(const Seen& seen, const Seen* other) {
  std::map<std::string, Tensor> before = seen.before.gradients, after = seen.after.gradients, exact;
  if (other != nullptr) exact = other->before.gradients;
  if (claims_.has_law) {
    before = tensors_of(claims_.predicted(table_of(before)));
    after = tensors_of(claims_.reached(table_of(after)));
    exact = tensors_of(claims_.predicted(table_of(exact)));
    laws_are_whole(before, seen.before.gradients, seen.after.gradients);
    laws_are_whole(after, seen.after.gradients, seen.before.gradients);
  }
  const Tensor* norm = find(seen.before.published, "grad_norm");  // before any clipping
  const double size = std::max(largest(before), norm == nullptr ? 0 : norm->item());
  auto missing = [&](const std::string& path, const char* where) {
    if (claims_.changes) return;
    Equivalence::Row row = this->row("gradient", path, f64);
    row.passed = false;
    row.note = fmt::format("there is none {}", where);
    add(row);
  };
  for (const auto& [path, tensor] : after)
    if (!before.contains(path)) missing(path, "before");
  for (const auto& [path, tensor] : before) {
    const Tensor* there = find(after, path);
    if (there == nullptr) {
      missing(path, "after");
      continue;
    }
    Pair pair{.kind = "gradient",
              .name = path,
              .before = &tensor,
              .after = there,
              .other = find(exact, path),
              .exact = claims_.exact && !claims_.has_law,
              .floor = size};
    // Tables of laws are in double, whatever the gradients were rounded to.
    Tensor typed;
    if (claims_.has_law && !twin_) {
      const DType own = seen.before.gradients.at(path).dtype();
      typed = tensor.cast(own);
      const Tensor reached = there->cast(own);
      pair.before = &typed;
      pair.after = &reached;
      judge(pair);
      continue;
    }
    judge(pair);
  }
}

void Comparison::cells(const Seen& seen, const Trial& before, const Trial& after, const Seen* other) {
  const bool parted = claims_.changes && !options_.adds_only;
  if (parted) return;
  // Cells of one kind ("optimizer/exp_avg/PATH") have one measure of what is noise: their largest change.
  std::map<std::string, double> changes;
  for (const auto& [path, cell] : seen.before.cells) {
    if (!is_float(cell.dtype())) continue;
    const Observation& measure = other != nullptr && !twin_ ? other->before : seen.before;
    double& change = changes[kind_of(path, before.step())];
    change = std::max(change, difference(measure.cells.at(path), measure.starts.at(path)));
  }
  const double noise = (twin_ ? 1e-12 : 8 * own_unit_) * largest(seen.before.gradients);
  auto one_sided = [&](const std::string& path, const Trial& there, const char* where) {
    if (claims_.changes || !there.store().has(path)) return;
    Equivalence::Row row = this->row("cell", path, f64);
    row.passed = false;
    row.note = fmt::format("is updated only {}", where);
    add(row);
  };
  for (const auto& [path, tensor] : seen.after.cells)
    if (!seen.before.cells.contains(path)) one_sided(path, before, "after");
  for (const auto& [path, tensor] : seen.before.cells) {
    if (!is_shared(path, before.step(), after.step())) continue;
    const Tensor* there = find(seen.after.cells, path);
    if (there == nullptr) {
      one_sided(path, after, "before");
      continue;
    }
    const std::string kind = kind_of(path, before.step()), parameter = path.substr(kind.size());
    judge({.kind = "cell",
           .name = path,
           .before = &tensor,
           .after = there,
           .other = other == nullptr ? nullptr : find(other->before.cells, path),
           .start = &seen.before.starts.at(path),
           .other_start = other == nullptr ? nullptr : find(other->before.starts, path),
           .exact = claims_.exact,
           .floor = changes[kind],
           .gradient_before = find(seen.before.gradients, parameter),
           .gradient_after = find(seen.after.gradients, parameter),
           .noise = noise});
    if (!twin_) watch(path, tensor, *there, &seen.before.starts.at(path));
  }
}

// --- What a step promises by itself ---------------------------------------------------------------------------------

// PyTorch's rule (torch/amp/grad_scaler.py, _amp_update_scale_), held between its least and its greatest.
void Comparison::scale_follows_its_rule(const Trial& trial, const Observation& seen) {
  if (!trial.step().loss_scale || !trial.step().loss_scale->tracker.valid()) return;
  const LossScale& scale = *trial.step().loss_scale;
  const std::string name = scale.scale.name(), tracker = scale.tracker.name();
  const Tensor *scale_after = find(seen.cells, name), *tracker_after = find(seen.cells, tracker);
  if (scale_after == nullptr || tracker_after == nullptr) return;
  double expected = seen.starts.at(name).item(), clean = seen.starts.at(tracker).item() + 1;
  if (!seen.due) {  // both change only in the run that ends an accumulation over runs
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
    row.passed = row.error <= 0x1p-22 * wanted;  // a scale may be kept in f32
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
  for (const auto& [state, value] : trial.step().graph.updates())
    of_user.insert(trial.step().graph.value(state).name());
  for (const auto& [path, cell] : seen.cells) {
    const bool of_update = trial.store().cells().at(path).trained || path == "updates" ||
                           path.starts_with("optimizer/") || path.starts_with("average/");
    if (!of_update || of_user.contains(path)) continue;
    Equivalence::Row row = this->row("cell", path, cell.dtype());
    row.error = difference(cell, seen.starts.at(path));
    row.passed = same_bits(cell, seen.starts.at(path));
    if (!row.passed) row.note = "changed in a run whose gradients are not finite";
    add(row);
  }
}

// A master, a moment or a loss whose every number the coarse type holds was rounded to it on the way.
void Comparison::watch(const std::string& name, const Tensor& before, const Tensor& after, const Tensor* start) {
  if (claims_.rounds_to != bf16 && claims_.rounds_to != f16) return;
  if (!is_float(before.dtype()) || before.dtype() != after.dtype() || before.size() != after.size()) return;
  const Tensor coarse_before = before.cast(claims_.rounds_to), coarse_after = after.cast(claims_.rounds_to);
  Watched& watched = watched_[name];
  for (std::int64_t i = 0; i < before.size(); ++i) {
    // A new number that owes nothing to the old one (a first momentum) is the gradient, which may be coarse for good.
    const double old = start != nullptr ? start->at(i) : 0;
    if (start != nullptr &&
        (before.at(i) == old || after.at(i) == old || std::abs(old) < 0x1p-12 * std::abs(after.at(i))))
      continue;
    ++watched.count;
    watched.coarse_before += before.at(i) == coarse_before.at(i);
    watched.coarse_after += after.at(i) == coarse_after.at(i);
    if (watched.last_run != run_) ++watched.runs;
    watched.last_run = run_;
  }
}

void Comparison::finish() {
  twin_ = false;
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
