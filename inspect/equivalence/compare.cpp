#include <weft/inspect/equivalence/compare.h>

#include <weft/runtime/tensor_values.h>

#include <algorithm>

namespace weft {
namespace {

// The path of a cell without the path of the parameter that it belongs to.
std::string kind_of(const std::string& path, const Step& step) {
  std::size_t longest = 0;
  for (const Value& parameter : step.parameters) {
    const std::string name = parameter.name();
    if (name.size() > longest && path.ends_with(name)) longest = name.size();
  }
  return path.substr(0, path.size() - longest);
}

}  // namespace

Comparison::Comparison(const Claims& claims, const EquivalenceOptions& options, const Step& before, Equivalence& result)
    : claims_(claims), options_(options), result_(result) {
  in_.own_unit = coarsest_unit(before);
  in_.coarse_unit = std::max(in_.own_unit, unit_roundoff(claims.rounds_to));
}

// --- One quantity ---------------------------------------------------------------------------------------------------

Equivalence::Row Comparison::row(const std::string& kind, const std::string& name, DType dtype) const {
  return {.kind = kind, .name = name, .dtype = dtype, .twin = in_.twin, .run = in_.run};
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

void Comparison::judge(const Quantity& quantity) {
  const Tensor &x = *quantity.before, &y = *quantity.after;
  Equivalence::Row row = this->row(quantity.kind, quantity.name, x.dtype());
  if (x.dtype() != y.dtype() || x.extents() != y.extents()) {
    row.passed = false;
    row.note = fmt::format("is {} before and {} after", x.type_str(), y.type_str());
    return add(row);
  }
  if (quantity.exact || !is_float(x.dtype())) {
    row.error = max_abs_difference(x, y);
    row.passed = same_bits(x, y);
    if (!row.passed && row.error == 0) row.note = "differs in its bits";
    return add(row);
  }
  const bool to_exact = !in_.twin && quantity.other != nullptr;
  row.bound = bound_of(quantity, in_);
  row.error = error_of(quantity, to_exact ? *quantity.other : x, row.bound);
  row.passed = row.error <= row.bound;
  add(row);
}

// --- One run --------------------------------------------------------------------------------------------------------

void Comparison::compare(std::int64_t run, const Seen& seen, const Trial& before, const Trial& after, const Seen* other,
                         bool twin) {
  in_.run = run;
  in_.twin = twin;
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
    const Tensor* after = find_in(seen.after.published, name);
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
           .other = other == nullptr ? nullptr : find_in(other->before.published, name),
           .exact = claims_.exact});
    if (!in_.twin && name == "loss") watch(name, before, *after, nullptr);
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
  const Tensor* norm = find_in(seen.before.published, "grad_norm");  // before any clipping
  const double size = std::max(max_abs(before), norm == nullptr ? 0 : norm->item());
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
    const Tensor* there = find_in(after, path);
    if (there == nullptr) {
      missing(path, "after");
      continue;
    }
    Quantity quantity{.kind = "gradient",
                      .name = path,
                      .before = &tensor,
                      .after = there,
                      .other = find_in(exact, path),
                      .exact = claims_.exact && !claims_.has_law,
                      .floor = size};
    // Tables of laws are in double, whatever the gradients were rounded to.
    Tensor typed;
    if (claims_.has_law && !in_.twin) {
      const DType own = seen.before.gradients.at(path).dtype();
      typed = tensor.cast(own);
      const Tensor reached = there->cast(own);
      quantity.before = &typed;
      quantity.after = &reached;
      judge(quantity);
      continue;
    }
    judge(quantity);
  }
}

void Comparison::cells(const Seen& seen, const Trial& before, const Trial& after, const Seen* other) {
  const bool parted = claims_.changes && !options_.adds_only;
  if (parted) return;
  // Cells of one kind ("optimizer/exp_avg/PATH") have one measure of what is noise: their largest change.
  std::map<std::string, double> changes;
  for (const auto& [path, cell] : seen.before.cells) {
    if (!is_float(cell.dtype())) continue;
    const Observation& measure = other != nullptr && !in_.twin ? other->before : seen.before;
    double& change = changes[kind_of(path, before.step())];
    change = std::max(change, max_abs_difference(measure.cells.at(path), measure.starts.at(path)));
  }
  const double noise =
      (in_.twin ? bounds::least_in_twin : bounds::rounding_of_sums * in_.own_unit) * max_abs(seen.before.gradients);
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
    const Tensor* there = find_in(seen.after.cells, path);
    if (there == nullptr) {
      one_sided(path, after, "before");
      continue;
    }
    const std::string kind = kind_of(path, before.step()), parameter = path.substr(kind.size());
    judge({.kind = "cell",
           .name = path,
           .before = &tensor,
           .after = there,
           .other = other == nullptr ? nullptr : find_in(other->before.cells, path),
           .start = &seen.before.starts.at(path),
           .other_start = other == nullptr ? nullptr : find_in(other->before.starts, path),
           .exact = claims_.exact,
           .floor = changes[kind],
           .gradient_before = find_in(seen.before.gradients, parameter),
           .gradient_after = find_in(seen.after.gradients, parameter),
           .noise = noise});
    if (!in_.twin) watch(path, tensor, *there, &seen.before.starts.at(path));
  }
}

}  // namespace weft
