// Common rules for OpDef::terms (in which operands an op is linear) and OpDef::units (along which axis of an operand
// the units of a layer lie).
#pragma once

#include <weft/graph/op_def.h>

#include <utility>
#include <vector>

namespace weft {

/// The same terms for every node.
inline TermRule terms_are(std::vector<Term> terms) {
  return [terms = std::move(terms)](const OpView&) { return terms; };
}
/// One output, one term: linear in each of `factors`; the products `inner` decide the rest (graph/op_def.h: Term).
inline TermRule linear_in(std::vector<int> factors, std::vector<std::vector<int>> inner = {}) {
  return terms_are({{.factors = std::move(factors), .inner = std::move(inner)}});
}
/// One output; each element of operand 0 is added to one of its elements; `by`: operands that decide to which one.
inline TermRule adds_up(std::vector<std::vector<int>> by = {}) {
  return terms_are({{.factors = {0}, .inner = std::move(by), .adds = 0}});
}

/// The units of all these operands lie along their first axis: rows of [out, in] weights, elements of biases.
inline UnitRule units_in_rows(std::vector<int> operands) {
  return [operands = std::move(operands)](const OpView& view) {
    std::vector<UnitAxis> units;
    for (const int i : operands)
      if (view.has(i)) units.push_back({i, 0});
    return units;
  };
}
/// The units of a norm: elements of those operands (gain, bias) that are 1-D.
inline UnitRule units_of_gains(std::vector<int> operands) {
  return [operands = std::move(operands)](const OpView& view) {
    std::vector<UnitAxis> units;
    for (const int i : operands)
      if (view.has(i) && view.shape(i).rank() == 1) units.push_back({i, 0});
    return units;
  };
}

}  // namespace weft
