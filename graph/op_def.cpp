#include <weft/graph/op_def.h>

#include <algorithm>

namespace weft {

void OpView::no_operand(int i) const {
  WEFT_FAIL("a rule of '{}' asks for operand {}: {}; hint: has({}) tells whether it is there", op.name, i,
            i < 0 || i >= inputs() ? fmt::format("the node has {}, counted from 0", inputs()) : "it is absent", i);
}
void OpView::no_output(int i) const {
  WEFT_FAIL("a rule of '{}' asks for the type of output {}: {}", op.name, i,
            out.empty() ? "outputs have none while the shape rule runs; hint: it is what that rule gives back"
                        : fmt::format("the node has {}, counted from 0", out.size()));
}

namespace sample {

SampleInput absent() { return {.fill = SampleInput::Fill::absent, .extents = {}}; }
SampleInput normal(std::vector<std::int64_t> extents, double mean, double deviation) {
  return {SampleInput::Fill::normal, std::move(extents), mean, deviation, -1, true, {}};
}
SampleInput uniform(std::vector<std::int64_t> extents, double low, double high) {
  return {SampleInput::Fill::uniform, std::move(extents), low, high, -1, true, {}};
}
SampleInput integers(std::vector<std::int64_t> extents, std::int64_t low, std::int64_t high) {
  return {SampleInput::Fill::integers,
          std::move(extents),
          static_cast<double>(low),
          static_cast<double>(high),
          -1,
          false,
          {}};
}
SampleInput booleans(std::vector<std::int64_t> extents) {
  return {SampleInput::Fill::booleans, std::move(extents), 0, 1, -1, false, {}};
}
SampleInput extremes(std::vector<std::int64_t> extents) {
  return {SampleInput::Fill::extremes, std::move(extents), 0, 1, -1, false, {}};
}
SampleInput ties(std::vector<std::int64_t> extents) {
  return {SampleInput::Fill::ties, std::move(extents), 0, 1, -1, true, {}};
}

}  // namespace sample

const Kernel* OpDef::kernel(DType type) const {
  for (const Kernel& kernel : kernels)
    if (kernel.dtype == type) return &kernel;
  return nullptr;
}

DType kernel_dtype(const OpView& view) {
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) return view.type(i).dtype;
  return view.out.front().dtype;
}

Cost cost_of(const OpView& view) {
  if (view.op.cost) return view.op.cost(view);
  Cost cost;
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) cost.bytes += static_cast<double>(view.type(i).bytes());
  for (const TensorType& type : view.out) {
    cost.bytes += static_cast<double>(type.bytes());
    cost.flops += static_cast<double>(type.count());
  }
  return cost;
}

std::vector<InPlace> in_place_of(const OpView& view) {
  return view.op.in_place ? view.op.in_place(view) : view.op.traits.in_place;
}

std::vector<Term> terms_of(const OpView& view) {
  std::vector<Term> terms;
  if (view.op.terms) terms = view.op.terms(view);
  else if (view.op.traits.view) terms = {{.factors = {0}, .adds = 0}};
  const auto absent = [&](int i) { return !view.has(i); };
  std::erase_if(terms, [&](Term& term) {
    const bool constant = term.factors.empty() && term.inner.empty();
    std::erase_if(term.factors, absent);
    for (std::vector<int>& product : term.inner) std::erase_if(product, absent);
    std::erase_if(term.inner, [](const std::vector<int>& product) { return product.empty(); });
    return !constant && term.factors.empty() && term.inner.empty();
  });
  return terms;
}

std::vector<UnitAxis> units_of(const OpView& view) {
  if (view.op.units) return view.op.units(view);
  std::vector<UnitAxis> units;
  const Shape& y = view.out.front().shape;
  for (int i = 0; view.op.traits.pointwise && y.rank() > 0 && i < view.inputs(); ++i)
    if (view.has(i) && view.shape(i).rank() == 1 && view.shape(i).extent(0) == y.extent(-1)) units.push_back({i, 0});
  return units;
}

bool is_wide(const OpDef& op, int i) { return std::ranges::find(op.wide_operands, i) != op.wide_operands.end(); }

std::string title_of(const OpDef& op, const Attributes& attributes) {
  return op.title != nullptr ? op.title(attributes) : op.name;
}

}  // namespace weft
