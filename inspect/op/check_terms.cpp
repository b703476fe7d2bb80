// What an op declares of itself for those who read graphs: the terms of its outputs, its units, its wide operands.
#include <weft/inspect/op/op_checker.h>

#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace weft {
namespace {

using Changed = std::map<int, Tensor>;  // by operand

constexpr std::int64_t most_elements = 4096;  // of a sample that is looked at
constexpr double a = 0.75, b = -1.5;          // of a x + b y

Tensor of(const Tensor& like, const std::function<double(std::int64_t)>& value) {
  Tensor made(f64, like.extents());
  for (std::int64_t i = 0; i < made.size(); ++i) made.data<double>()[i] = value(i);
  return made.cast(like.dtype());
}
Tensor zeros(const Tensor& x) {
  return of(x, [](std::int64_t) { return 0.0; });
}
// Other numbers from where the sample's own lie.
Tensor others(const Tensor& x) {
  return of(x, [&](std::int64_t i) { return 0.75 * x.at(x.size() - 1 - i); });
}
Tensor combined(const Tensor& x, const Tensor& y) {
  return of(x, [&](std::int64_t i) { return a * x.at(i) + b * y.at(i); });
}

bool contains(const std::vector<int>& list, int i) { return std::ranges::find(list, i) != list.end(); }
bool in_inner(const Term& term, int i) {
  return std::ranges::any_of(term.inner, [&](const std::vector<int>& product) { return contains(product, i); });
}
bool names(const Term& term, int i) { return contains(term.factors, i) || in_inner(term, i); }

// One sample of one op, run with some operands replaced.
class Runs {
 public:
  Runs(const OpDef& op, const SampleRun& run) : op_(op), run_(run), base_(run.run()) {}

  int operands() const { return static_cast<int>(run_.operands().size()); }
  int outputs() const { return static_cast<int>(base_.size()); }
  const Tensor& base(int output) const { return base_[static_cast<std::size_t>(output)]; }
  /// Null: absent, or no f64 (whole numbers, bools): it stays as it is.
  const Tensor* operand(int i) const {
    const int fed = run_.fed_of(i);
    if (fed < 0 || run_.tensor(static_cast<std::size_t>(fed)).dtype() != f64) return nullptr;
    return &run_.tensor(static_cast<std::size_t>(fed));
  }
  std::vector<Tensor> with(const Changed& changed) const {
    std::map<std::size_t, Tensor> others;
    for (const auto& [i, tensor] : changed) others.emplace(static_cast<std::size_t>(run_.fed_of(i)), tensor);
    return run_.with(others).run();
  }
  Tensor with(const Changed& changed, int output) const { return with(changed)[static_cast<std::size_t>(output)]; }
  std::string name(int output) const {
    return op_.outputs[std::min(static_cast<std::size_t>(output), op_.outputs.size() - 1)];
  }

 private:
  const OpDef& op_;
  const SampleRun& run_;
  const std::vector<Tensor> base_;
};

double rounding_of(const Tensor& x) {
  const DType dtype = x.dtype();
  return dtype == f64 ? 1e-11 : dtype == f32 ? 1e-5 : dtype == f16 ? 1e-2 : 1e-1;
}
bool same(const Tensor& x, const Tensor& y) {
  for (std::int64_t i = 0; i < x.size(); ++i)
    if (x.at(i) != y.at(i) && !(std::isnan(x.at(i)) && std::isnan(y.at(i)))) return false;
  return true;
}
bool same_where_finite(const Tensor& x, const Tensor& y) {  // 0 times what left the range is NaN
  for (std::int64_t i = 0; i < x.size(); ++i)
    if (x.at(i) != y.at(i) && std::isfinite(x.at(i)) && std::isfinite(y.at(i))) return false;
  return true;
}

// The terms of one output.
class TermCheck {
 public:
  TermCheck(const Runs& runs, int output, const std::vector<Term>& all) : runs_(runs), output_(output) {
    for (const Term& term : all)
      if (term.output == output) terms_.push_back(term);
  }

  void run() const {
    if (terms_.empty() || !is_float(runs_.base(output_).dtype())) return;
    zero();
    for (const Term& term : terms_)
      for (const int factor : term.factors)
        if (runs_.operand(factor) != nullptr) linear(term, factor);
    for (int i = 0; i < runs_.operands(); ++i)
      if (runs_.operand(i) != nullptr) closed(i);
    for (const Term& term : terms_)
      if (term.adds >= 0 && runs_.operand(term.adds) != nullptr) added(term);
  }

 private:
  // The output is 0 where a factor of each term is: the first of each, the second, ...
  void zero() const {
    std::size_t most = 0;
    for (const Term& term : terms_) {
      if (term.factors.empty()) return;
      most = std::max(most, term.factors.size());
    }
    for (std::size_t j = 0; j < most; ++j) {
      Changed changed;
      std::string which;
      for (const Term& term : terms_) {
        const int factor = term.factors[j % term.factors.size()];
        if (runs_.operand(factor) == nullptr) return;
        changed.emplace(factor, zeros(*runs_.operand(factor)));
        which += fmt::format("{}{}", which.empty() ? "" : ", ", factor);
      }
      const Tensor y = runs_.with(changed, output_);
      const double size = max_abs(y);  // of what is finite: 0 times what left the range is NaN
      WEFT_CHECK(
          size == 0,
          "output '{}' reaches {:.3g} where operands {} are 0: .terms says that it is 0 where a factor of each of "
          "its terms is",
          runs_.name(output_), size, which);
    }
  }

  // f(a x + b y) - f(0) = a (f(x) - f(0)) + b (f(y) - f(0)), where terms that are something else of x are put out.
  void linear(const Term& term, int i) const {
    Changed rest;
    for (const Term& other : terms_) {
      if (&other == &term) continue;
      const auto out =
          std::ranges::find_if(other.factors, [&](int f) { return !names(term, f) && runs_.operand(f) != nullptr; });
      if (out != other.factors.end()) rest.emplace(*out, zeros(*runs_.operand(*out)));
      else if (in_inner(other, i)) return;
    }
    if (in_inner(term, i)) return;
    const auto at = [&](Tensor x) {
      Changed changed = rest;
      changed.insert_or_assign(i, std::move(x));
      return runs_.with(changed, output_);
    };
    const Tensor &x = *runs_.operand(i), y = others(x);
    const Tensor f0 = at(zeros(x)), fx = at(x), fy = at(y), both = at(combined(x, y));
    const double scale = std::max({max_abs(f0), max_abs(fx), max_abs(fy), max_abs(both)});
    for (std::int64_t j = 0; j < both.size(); ++j) {
      const double want = a * (fx.at(j) - f0.at(j)) + b * (fy.at(j) - f0.at(j)), got = both.at(j) - f0.at(j);
      if (!std::isfinite(got) && !std::isfinite(want)) continue;  // numbers that left the range say nothing
      WEFT_CHECK(std::abs(got - want) <= rounding_of(both) * scale,
                 "output '{}' is not linear in operand {}, which .terms says: f({} x + {} y) - f(0) is {:.6g} where {} "
                 "(f(x) - f(0)) + {} (f(y) - f(0)) is {:.6g}",
                 runs_.name(output_), i, a, b, got, a, b, want);
    }
  }

  // Whether the output no longer changes with operand i once operand `zero` is 0.
  bool is_closed(int i, int zero) const {
    const auto other = [&](const std::vector<int>& product) { return zero != i && contains(product, zero); };
    return std::ranges::all_of(terms_, [&](const Term& term) {
      if (other(term.factors)) return true;
      return !contains(term.factors, i) && std::ranges::all_of(term.inner, [&](const std::vector<int>& product) {
        return !contains(product, i) || other(product);
      });
    });
  }
  void closed(int i) const {
    const Tensor& x = *runs_.operand(i);
    if (std::ranges::none_of(terms_, [&](const Term& term) { return names(term, i); })) {
      WEFT_CHECK(same(runs_.base(output_), runs_.with({{i, others(x)}}, output_)),
                 "output '{}' changes with operand {}, which none of its .terms names", runs_.name(output_), i);
      return;
    }
    for (int zero = 0; zero < runs_.operands(); ++zero) {
      if (runs_.operand(zero) == nullptr || !is_closed(i, zero)) continue;
      const Changed shut{{zero, zeros(*runs_.operand(zero))}};
      Changed moved = shut;
      moved.emplace(i, others(x));
      const Tensor before = runs_.with(shut, output_), after = runs_.with(moved, output_);
      WEFT_CHECK(
          same_where_finite(before, after),
          "output '{}' changes with operand {} where operand {} is 0: .terms says that nothing of it comes through",
          runs_.name(output_), i, zero);
    }
  }

  // Elements one by one: each is found in one element, by the same factor, 1 unless there are scalars.
  void added(const Term& term) const {
    const int i = term.adds;
    WEFT_CHECK(names(term, i), ".adds of output '{}' is operand {}, which its term does not name", runs_.name(output_),
               i);
    const Tensor& x = *runs_.operand(i);
    const bool limited = !contains(term.factors, i);
    bool scaled = false;
    for (int other = 0; other < runs_.operands(); ++other) {
      if (other == i || !names(term, other) || runs_.operand(other) == nullptr) continue;
      WEFT_CHECK(runs_.operand(other)->rank() == 0,
                 ".adds of output '{}': operand {} is a factor of what is added up, and no scalar", runs_.name(output_),
                 other);
      scaled = true;
    }
    double first = -1;
    for (const std::int64_t j : std::set<std::int64_t>{0, x.size() / 2, x.size() - 1}) {
      if (j < 0 || j >= x.size()) continue;
      const Tensor y = runs_.with({{i, of(x, [&](std::int64_t e) { return x.at(e) + (e == j ? 1 : 0); })}}, output_);
      int changed = 0;
      double moved = 0;
      for (std::int64_t e = 0; e < y.size(); ++e) {
        if (y.at(e) == runs_.base(output_).at(e)) continue;
        ++changed;
        moved = std::abs(y.at(e) - runs_.base(output_).at(e));
      }
      const double close = rounding_of(y) * std::max(1.0, max_abs(y));
      if (first < 0) first = moved;
      const bool right = limited  ? changed <= 1 && moved <= 1 + close
                         : scaled ? changed == 1 && std::abs(moved - first) <= close
                                  : changed == 1 && std::abs(moved - 1) <= close;
      WEFT_CHECK(
          right,
          "element {} of operand {} moved by 1 moves {} elements of output '{}', by {:.6g}: .adds says that each "
          "goes to one, as it is",
          j, i, changed, runs_.name(output_), moved);
    }
  }

  const Runs& runs_;
  const int output_;
  std::vector<Term> terms_;
};

std::int64_t position(const Tensor& x, std::int64_t element, int axis) {
  std::int64_t inner = 1;
  for (int k = axis + 1; k < x.rank(); ++k) inner *= x.extent(k);
  return element / inner % x.extent(axis);
}

}  // namespace

void OpChecker::check_terms(const SampleRun& run) {
  const Node& node = run.outputs().front().node();
  const auto view = run.graph().view(node);
  const int operands = op_.most_inputs;  // those that a node leaves out may be named too
  const int outputs = static_cast<int>(node.types.size());
  for (const Term& term : op_.terms ? op_.terms(view->view) : std::vector<Term>{}) {
    std::vector<int> named = term.factors;
    for (const std::vector<int>& product : term.inner) named.insert(named.end(), product.begin(), product.end());
    if (term.adds >= 0) named.push_back(term.adds);
    for (const int i : named)
      WEFT_CHECK(i >= 0 && (operands < 0 || i < operands), ".terms names operand {}, the op has {}, counted from 0", i,
                 operands);
    WEFT_CHECK(term.output >= 0 && term.output < outputs, ".terms names output {}, the op has {}, counted from 0",
               term.output, outputs);
  }
  const Runs runs(op_, run);
  const std::vector<Term> terms = terms_of(view->view);
  for (int k = 0; k < outputs; ++k) TermCheck(runs, k, terms).run();
}

void OpChecker::check_units(const SampleRun& run) {
  const Node& node = run.outputs().front().node();
  const auto view = run.graph().view(node);
  const Runs runs(op_, run);
  for (const UnitAxis& units : units_of(view->view)) {
    WEFT_CHECK(view->view.has(units.operand), ".units names operand {}, which is absent or not there", units.operand);
    WEFT_CHECK(units.axis >= 0 && units.axis < view->view.shape(units.operand).rank(),
               ".units says axis {} of operand {}, which is {}", units.axis, units.operand,
               view->view.shape(units.operand).str());
    const Tensor* x = runs.operand(units.operand);
    const std::int64_t count = view->view.shape(units.operand).extent(units.axis);
    if (x == nullptr || x->size() == 0 || count < 2) continue;
    // Axes of outputs along which no unit has changed what is another's, and whether one has changed its own.
    std::map<std::pair<int, int>, bool> places;
    for (int k = 0; k < runs.outputs(); ++k)
      for (int axis = 0; axis < runs.base(k).rank(); ++axis)
        if (runs.base(k).extent(axis) == count) places.emplace(std::pair(k, axis), false);
    for (const std::int64_t u : std::set<std::int64_t>{0, count / 2, count - 1}) {
      const std::vector<Tensor> moved =
          runs.with({{units.operand,
                      of(*x, [&](std::int64_t e) { return x->at(e) + (position(*x, e, units.axis) == u ? 1 : 0); })}});
      for (auto place = places.begin(); place != places.end();) {
        const auto [k, axis] = place->first;
        const Tensor &before = runs.base(k), &after = moved[static_cast<std::size_t>(k)];
        bool alone = true;
        for (std::int64_t e = 0; e < before.size(); ++e) {
          if (after.at(e) == before.at(e)) continue;
          (position(before, e, axis) == u ? place->second : alone) = position(before, e, axis) == u;
        }
        place = alone ? std::next(place) : places.erase(place);
      }
    }
    WEFT_CHECK(std::ranges::any_of(places, [&](const auto& place) { return place.second || !op_.units; }),
               "units along axis {} of operand {} do not lie along an axis of an output: what one of the {} changes is "
               "not its "
               "own alone; .units says so",
               units.axis, units.operand, count);
  }
}

void OpChecker::check_wide_operands(const Sample& sample) {
  for (const int i : op_.wide_operands)
    WEFT_CHECK(i >= 0 && (op_.most_inputs < 0 || i < op_.most_inputs),
               ".wide_operands names operand {}, the op has {}, counted from 0", i, op_.most_inputs);
  for (const DType low : {bf16, f16}) {
    if (op_.kernel(low) == nullptr) continue;
    const SampleRun run = built(sample, low);
    WEFT_CHECK(run.graph().problems().empty(), ".wide_operands says that the op takes them in f32 beside {}: {}",
               name_of(low), run.graph().problems().front().str());
  }
}

void OpChecker::check_declared(const Sample& sample, const SampleRun& exact) {
  std::int64_t elements = 0;
  for (const Value& operand : exact.operands())
    elements = std::max(elements, operand.absent() ? 0 : operand.shape().count());
  for (const Value& output : exact.outputs()) elements = std::max(elements, output.shape().count());
  if (!op_.wide_operands.empty()) check("wide operands", [&] { check_wide_operands(sample); });
  if (elements > most_elements) return;
  if (op_.terms) check("terms", [&] { check_terms(exact); });
  if (op_.units) check("units", [&] { check_units(exact); });
}

}  // namespace weft
