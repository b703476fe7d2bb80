#include <weft/runtime/region/region.h>

#include <weft/runtime/copy.h>
#include <weft/runtime/region/kernel.h>

#include <algorithm>

namespace weft {

std::string RowRegion::str() const {
  const auto text_of = [&](int value) {
    if (value == absent) return std::string("none");
    return value < operands ? fmt::format("x{}", value) : fmt::format("v{}", value - operands);
  };
  std::string text, given;
  int first = 0;
  for (const Member& member : members) {
    std::string in, out;
    for (int value : member.operands) in += (in.empty() ? "" : ", ") + text_of(value);
    for (int k = 0; k < member.outputs; ++k) out += fmt::format("{}v{}", k == 0 ? "" : ", ", first + k);
    first += member.outputs;
    text += fmt::format("{}{} = {}({})", text.empty() ? "" : "; ", out, member.op->name, in);
    if (!member.attributes.empty()) text += " " + member.attributes.str();
  }
  for (int value : outputs) given += (given.empty() ? "" : ", ") + text_of(value);
  return "<" + text + " -> " + given + ">";
}

bool RowRegion::same(const Description& other) const {
  const auto* region = dynamic_cast<const RowRegion*>(&other);
  return region != nullptr && operands == region->operands && outputs == region->outputs &&
         std::ranges::equal(members, region->members, [](const Member& a, const Member& b) {
           return a.op == b.op && a.attributes == b.attributes && a.operands == b.operands && a.outputs == b.outputs;
         });
}

std::string RowRegion::title() const {
  std::string text;
  for (const Member& member : members) text += (text.empty() ? "" : " + ") + title_of(*member.op, member.attributes);
  return text;
}

std::vector<TensorType> RowRegion::types(const OpView& view) const {
  WEFT_INVARIANT(view.inputs() == operands, "{} operands of a region of {}", view.inputs(), operands);
  std::vector<TensorType> types;
  for (int i = 0; i < operands; ++i) types.push_back(view.type(i));
  for (const Member& member : members) {
    std::vector<const TensorType*> in;
    for (int value : member.operands) in.push_back(value == absent ? nullptr : &types[static_cast<std::size_t>(value)]);
    std::vector<TensorType> out = member.op->infer({*member.op, member.attributes, in, {}});
    types.insert(types.end(), out.begin(), out.end());
  }
  return types;
}

const RowRegion& row_region_of(const Attributes& attributes) {
  const auto* region =
      dynamic_cast<const RowRegion*>(attributes.get<std::shared_ptr<const Description>>("members").get());
  WEFT_INVARIANT(region != nullptr, "the members of a region are described by something else");
  return *region;
}

namespace {

std::vector<TensorType> infer(const OpView& view) {
  const RowRegion& region = row_region_of(view.attributes);
  const std::vector<TensorType> types = region.types(view);
  std::vector<TensorType> outputs;
  for (int value : region.outputs) outputs.push_back(types[static_cast<std::size_t>(value)]);
  return outputs;
}

std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  const RowRegion& region = row_region_of(view.attributes);
  const std::vector<TensorType> types = region.types(view);
  std::vector<BatchState> states(in.begin(), in.end()), outputs;
  region.each(types, [&](const RowRegion::Member& member, int, const OpView& of) {
    std::vector<BatchState> operands;
    for (int value : member.operands)
      operands.push_back(value == RowRegion::absent ? BatchState{} : states[static_cast<std::size_t>(value)]);
    for (BatchState& state : member.op->batch(of, operands)) states.push_back(state);
  });
  for (int value : region.outputs) outputs.push_back(states[static_cast<std::size_t>(value)]);
  return outputs;
}

// The members as nodes.
Values plain(const Plain& p) {
  const RowRegion& region = row_region_of(p.attributes);
  std::vector<Value> values(p.in.begin(), p.in.end());
  Graph graph = p.in.front().graph();
  for (const RowRegion::Member& member : region.members) {
    Values in;
    for (int value : member.operands)
      in.push_back(value == RowRegion::absent ? Value{} : values[static_cast<std::size_t>(value)]);
    for (Value& value : graph.apply(*member.op, in, member.attributes)) values.push_back(std::move(value));
  }
  Values outputs;
  for (int value : region.outputs) outputs.push_back(values[static_cast<std::size_t>(value)]);
  return outputs;
}

// What members do, and only the bytes that go to memory.
Cost cost(const OpView& view) {
  const RowRegion& region = row_region_of(view.attributes);
  Cost cost;
  region.each(region.types(view),
              [&](const RowRegion::Member&, int, const OpView& of) { cost.flops += cost_of(of).flops; });
  for (int i = 0; i < view.inputs(); ++i) cost.bytes += static_cast<double>(view.type(i).bytes());
  for (const TensorType& type : view.out) cost.bytes += static_cast<double>(type.bytes());
  return cost;
}

// x -> copy -> copy
Attributes two_copies() {
  auto region = std::make_shared<RowRegion>();
  region->operands = 1;
  region->members = {
      {.op = &copy_op(), .attributes = {}, .operands = {0}, .outputs = 1, .name = "first", .where = {}},
      {.op = &copy_op(), .attributes = {}, .operands = {1}, .outputs = 1, .name = "second", .where = {}}};
  region->outputs = {2};
  return {{"members", std::shared_ptr<const Description>(std::move(region))}};
}

}  // namespace

const OpDef& row_region_op() {
  static const OpDef op{
      .name = "row_region",
      .law = "its members one after the other, block of rows by block of rows",
      .outputs = {"y", "..."},
      .least_inputs = 1,
      .most_inputs = -1,
      .infer = infer,
      .batch = batch,
      .plain = plain,
      .traits = {.random = true},
      .in_place = row_region_in_place,
      .title = [](const Attributes& attributes) { return row_region_of(attributes).title(); },
      .cost = cost,
      .kernels = row_region_kernels(),
      .samples = {{{sample::normal({3, 5}).batched(0)}, two_copies()},
                  {{sample::normal({6}).batched(0)}, two_copies()},
                  {{sample::extremes({70, 3, 1300})}, two_copies(), false}},
  };
  return op;
}

}  // namespace weft
