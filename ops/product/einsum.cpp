#include <weft/ops/product/einsum.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

namespace weft {
namespace {

// An axis: a letter, or an axis of the ellipsis, counted from its end.
using Label = int;
using Labels = std::vector<Label>;
constexpr Label ellipsis = 1000;

bool holds(const Labels& labels, Label label) { return std::ranges::find(labels, label) != labels.end(); }

struct Operand {
  Value x;
  Labels labels;
};

class Equation {
 public:
  Equation(const std::string& text, const std::vector<Value>& operands, std::source_location where)
      : text_(text), where_(where) {
    const std::size_t arrow = text.find("->");
    const std::string left = text.substr(0, arrow);
    std::vector<std::string> parts{""};
    for (const char c : left) {
      if (c == ',') parts.emplace_back();
      else if (c != ' ') parts.back() += c;
    }
    check(parts.size() == operands.size(), "it names {} operands, got {}", parts.size(), operands.size());
    for (std::size_t i = 0; i < parts.size(); ++i)
      terms.push_back({operands[i], labels_of(parts[i], operands[i].rank())});
    for (const Operand& term : terms)
      for (const Label label : term.labels)
        if (label >= ellipsis) widest_ = std::max(widest_, label - ellipsis + 1);
    if (arrow != std::string::npos) read_output(text.substr(arrow + 2));
    else imply_output();
  }

  template <class... T>
  void check(bool fine, fmt::format_string<T...> message, T&&... parts) const {
    WEFT_CHECK(fine, "einsum \"{}\" ({}): {}", text_, str(where_), fmt::format(message, std::forward<T>(parts)...));
  }

  std::vector<Operand> terms;
  Labels output;

 private:
  // `rank` < 0: the output, whose ellipsis has all there is.
  Labels labels_of(const std::string& part, int rank) const {
    const std::size_t dots = part.find("...");
    const int letters = static_cast<int>(part.size()) - (dots == std::string::npos ? 0 : 3);
    const int more = rank < 0 ? widest_ : rank - letters;
    check(dots == std::string::npos ? rank < 0 || more == 0 : more >= 0, "\"{}\" names {} axes, the operand has {}",
          part, letters, rank);
    Labels labels;
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (i == dots) {
        for (int k = more; k-- > 0;) labels.push_back(ellipsis + k);
        i += 2;
        continue;
      }
      check(std::isalpha(static_cast<unsigned char>(part[i])) != 0, "'{}' is no letter", part[i]);
      labels.push_back(part[i]);
    }
    return labels;
  }

  void read_output(std::string text) {
    std::erase(text, ' ');
    output = labels_of(text, -1);
    std::set<Label> seen;
    for (const Label label : output) {
      check(seen.insert(label).second, "the output names an axis twice");
      check(std::ranges::any_of(terms, [&](const Operand& t) { return holds(t.labels, label); }),
            "the output's axis '{}' is in no operand", static_cast<char>(label));
    }
  }

  void imply_output() {
    std::map<Label, int> times;
    for (const Operand& term : terms)
      for (const Label label : term.labels) ++times[label];
    for (int k = widest_; k-- > 0;) output.push_back(ellipsis + k);
    for (const auto& [label, count] : times)
      if (label < ellipsis && count == 1) output.push_back(label);
  }

  std::string text_;
  std::source_location where_;
  int widest_ = 0;
};

Value in_order(const Operand& term, const Labels& order) {
  std::vector<std::int64_t> axes;
  for (const Label label : order) axes.push_back(std::ranges::find(term.labels, label) - term.labels.begin());
  return std::ranges::is_sorted(axes) ? term.x : transpose(term.x, axes);
}

void sum_out(Operand& term, const std::vector<std::int64_t>& axes) {
  if (axes.empty()) return;
  term.x = sum(term.x, {.axes = axes});
  for (std::size_t i = axes.size(); i-- > 0;) term.labels.erase(term.labels.begin() + axes[i]);
}

// A letter twice: what lies off its diagonal becomes zero and one of the two axes is summed.
void take_diagonals(Operand& term) {
  for (std::size_t i = 0; i < term.labels.size(); ++i)
    for (std::size_t j = i + 1; j < term.labels.size();) {
      if (term.labels[i] != term.labels[j]) {
        ++j;
        continue;
      }
      const auto along = [&](std::size_t axis) {
        Shape shape(std::vector<Dim>(term.labels.size(), Dim(1)));
        shape[static_cast<int>(axis)] = term.x.dim(static_cast<int>(axis));
        return reshape(iota(term.x.graph(), shape[static_cast<int>(axis)]), shape);
      };
      term.x = where(equal(along(i), along(j)), term.x, zeros_like(term.x));
      sum_out(term, {static_cast<std::int64_t>(j)});
    }
}

// Axes of extent 1 that are wider elsewhere.
void broadcast_axes(Equation& equation) {
  std::map<Label, Dim> extents;
  for (const Operand& term : equation.terms)
    for (std::size_t a = 0; a < term.labels.size(); ++a) {
      const Dim& dim = term.x.dim(static_cast<int>(a));
      const auto [found, first] = extents.emplace(term.labels[a], dim);
      if (!first && found->second.value() == 1) found->second = dim;
      const bool letter = term.labels[a] < ellipsis;
      equation.check(dim.value() == found->second.value() || dim.value() == 1, "axis {} is {} and {}",
                     letter ? std::string(1, static_cast<char>(term.labels[a])) : "...", found->second.str(),
                     dim.str());
    }
  for (Operand& term : equation.terms) {
    Shape shape = term.x.shape();
    for (int a = 0; a < shape.rank(); ++a)
      if (const Dim& wide = extents.at(term.labels[static_cast<std::size_t>(a)]); !(shape[a] == wide)) shape[a] = wide;
    if (!(shape == term.x.shape())) term.x = broadcast_to(term.x, shape);
  }
}

// a and b in one matmul: [batch, rows of a, contracted] [batch, contracted, columns of b].
Operand contract(Operand a, Operand b, const std::set<Label>& needed) {
  for (Operand* term : {&a, &b}) {
    const Operand& other = term == &a ? b : a;
    std::vector<std::int64_t> alone;
    for (std::size_t i = 0; i < term->labels.size(); ++i)
      if (!needed.contains(term->labels[i]) && !holds(other.labels, term->labels[i]))
        alone.push_back(static_cast<std::int64_t>(i));
    sum_out(*term, alone);
  }
  Labels batch, rows, inner, columns;
  Shape shape_batch, shape_rows, shape_columns;
  Dim n_rows = 1, n_inner = 1, n_columns = 1;
  for (std::size_t i = 0; i < a.labels.size(); ++i) {
    const Dim& dim = a.x.dim(static_cast<int>(i));
    const bool shared = holds(b.labels, a.labels[i]);
    if (shared && needed.contains(a.labels[i])) batch.push_back(a.labels[i]), shape_batch.push_back(dim);
    else if (shared) inner.push_back(a.labels[i]), n_inner = n_inner * dim;
    else rows.push_back(a.labels[i]), shape_rows.push_back(dim), n_rows = n_rows * dim;
  }
  for (std::size_t i = 0; i < b.labels.size(); ++i)
    if (!holds(a.labels, b.labels[i])) {
      columns.push_back(b.labels[i]);
      shape_columns.push_back(b.x.dim(static_cast<int>(i)));
      n_columns = n_columns * b.x.dim(static_cast<int>(i));
    }
  const auto joined = [](const Labels& x, const Labels& y, const Labels& z) {
    Labels all = x;
    all.insert(all.end(), y.begin(), y.end());
    all.insert(all.end(), z.begin(), z.end());
    return all;
  };
  const auto shaped = [&](Dim m, Dim n) {
    Shape shape = shape_batch;
    shape.push_back(m);
    shape.push_back(n);
    return shape;
  };
  const Value left = reshape(in_order(a, joined(batch, rows, inner)), shaped(n_rows, n_inner));
  const Value right = reshape(in_order(b, joined(batch, inner, columns)), shaped(n_inner, n_columns));
  Shape shape = shape_batch;
  for (const Dim& dim : shape_rows) shape.push_back(dim);
  for (const Dim& dim : shape_columns) shape.push_back(dim);
  return {reshape(matmul(left, right), shape), joined(batch, rows, columns)};
}

}  // namespace

Value einsum(const std::string& text, const std::vector<Value>& operands, std::source_location where) {
  for (const Value& operand : operands)
    if (!operand.valid()) return operand;
  WEFT_CHECK(!operands.empty(), "einsum \"{}\" ({}): it needs an operand", text, str(where));
  const auto line = operands.front().graph().scope("", where);
  Equation equation(text, operands, where);
  for (Operand& term : equation.terms) take_diagonals(term);
  broadcast_axes(equation);

  Operand total = equation.terms.front();
  for (std::size_t i = 1; i < equation.terms.size(); ++i) {
    std::set<Label> needed(equation.output.begin(), equation.output.end());
    for (std::size_t later = i + 1; later < equation.terms.size(); ++later)
      needed.insert(equation.terms[later].labels.begin(), equation.terms[later].labels.end());
    total = contract(total, equation.terms[i], needed);
  }
  std::vector<std::int64_t> gone;
  for (std::size_t i = 0; i < total.labels.size(); ++i)
    if (!holds(equation.output, total.labels[i])) gone.push_back(static_cast<std::int64_t>(i));
  sum_out(total, gone);
  return in_order(total, equation.output);
}

Value outer(const Arg& a, const Arg& b) {
  const auto line = called_at({a});
  WEFT_CHECK(!a.value().valid() || !b.value().valid() || (a.value().rank() == 1 && b.value().rank() == 1),
             "outer ({}): expected two vectors, got {} and {}", str(a.where()), a.value().shape().str(),
             b.value().shape().str());
  return unsqueeze(a, -1) * b.value();
}

Value gram(const Arg& x) { return matmul(x, x, {.transpose_b = true}); }

}  // namespace weft
