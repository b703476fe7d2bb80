#include <weft/graph/nearest.h>
#include <weft/graph/registry.h>
#include <weft/graph/sources.h>

#include <algorithm>

namespace weft {

void Registry::add(const OpDef& op) {
  WEFT_CHECK(!op.name.empty(), "an op needs a name");
  WEFT_CHECK(op.infer, "the op '{}' needs a shape rule (.infer)", op.name);
  WEFT_CHECK(!op.outputs.empty(),
             "the op '{}' gives nothing: it needs a name for each output, as in .outputs = {{\"y\"}}", op.name);
  if (!op.traits.source) {
    WEFT_CHECK(op.batch, "the op '{}' needs a batch rule (.batch), such as same_axis", op.name);
    WEFT_CHECK(
        !op.kernels.empty(),
        "the op '{}' needs a kernel (.kernels); hint: .kernels = {{{{.dtype = f32, .run = my_kernel<float>}}}}, or "
        "pointwise_kernels<float, double>(f) of <weft/ops/kit/pointwise_kernels.h>",
        op.name);
    WEFT_CHECK(!op.samples.empty(),
               "the op '{}' needs samples (.samples): they are its tests; hint: .samples = "
               "{{{{{{sample::normal({{3, 5}}).batched(0)}}}}}}",
               op.name);
  }
  for (std::size_t i = 0; i < op.kernels.size(); ++i) {
    const Kernel& kernel = op.kernels[i];
    WEFT_CHECK(kernel.bind != nullptr || kernel.run != nullptr,
               "the op '{}' has a kernel for {} with nothing to run: it needs .run or .bind", op.name,
               name_of(kernel.dtype));
    for (std::size_t k = 0; k < i; ++k)
      WEFT_CHECK(op.kernels[k].dtype != kernel.dtype, "the op '{}' has two kernels for {}", op.name,
                 name_of(kernel.dtype));
  }
  for (const InPlace& each : op.traits.in_place)
    WEFT_CHECK(
        each.output >= 0 && each.output < static_cast<int>(op.outputs.size()) && each.operand >= 0 &&
            (op.most_inputs < 0 || each.operand < op.most_inputs),
        "the op '{}' says that output {} may lie in operand {} (.in_place), it has {} outputs and at most {} operands",
        op.name, each.output, each.operand, op.outputs.size(), op.most_inputs);
  for (std::size_t i = 0; i < op.samples.size(); ++i) {
    const int given = static_cast<int>(op.samples[i].inputs.size());
    WEFT_CHECK(given >= op.least_inputs && (op.most_inputs < 0 || given <= op.most_inputs),
               "sample {} of the op '{}' has {} inputs, the op takes {} (.least_inputs) to {} (.most_inputs)", i,
               op.name, given, op.least_inputs, op.most_inputs < 0 ? "any number" : fmt::format("{}", op.most_inputs));
    for (int k = 0; k < given; ++k) {
      const SampleInput& input = op.samples[i].inputs[static_cast<std::size_t>(k)];
      const int rank = static_cast<int>(input.extents.size());
      WEFT_CHECK(input.batch_axis >= -1 && input.batch_axis < rank,
                 "sample {} of the op '{}' has its batch at axis {} of input {}, which has {} axes; hint: .batched(0) "
                 "is the first",
                 i, op.name, input.batch_axis, k, rank);
    }
  }
  const auto at = std::lower_bound(ops_.begin(), ops_.end(), op.name,
                                   [](const OpDef* a, const std::string& name) { return a->name < name; });
  if (at != ops_.end() && (*at)->name == op.name) {
    WEFT_CHECK(
        *at == &op,
        "an op named '{}' is registered already ({}); hint: give yours a name of its own, such as 'my_{}', and keep "
        "one static OpDef for it",
        op.name, (*at)->law.empty() ? "without a law" : (*at)->law, op.name);
    return;
  }
  ops_.insert(at, &op);
}

const OpDef* Registry::find(std::string_view name) const {
  const auto at =
      std::lower_bound(ops_.begin(), ops_.end(), name, [](const OpDef* a, std::string_view n) { return a->name < n; });
  return at != ops_.end() && (*at)->name == name ? *at : nullptr;
}

const OpDef& Registry::at(std::string_view name) const {
  if (const OpDef* found = find(name)) return *found;
  std::vector<std::string> names;
  for (const OpDef* op : ops_) names.push_back(op->name);
  WEFT_FAIL("no op is named '{}'; hint: the nearest are {}; an op of one's own is known after registry().add(my_op())",
            name, nearest(name, names));
}

std::vector<const OpDef*> Registry::all() const { return ops_; }

bool Registry::is_library(const OpDef& op) const { return std::ranges::find(library_, &op) != library_.end(); }

Registry& registry() {
  static Registry instance;
  static thread_local bool filling = false;  // what fills it asks for it
  if (filling) return instance;
  static const bool filled = [] {
    filling = true;
    for (const OpDef* op : {&input_op(), &parameter_op(), &state_op(), &constant_op()}) instance.add(*op);
    detail::add_library_ops();
    instance.library_ = instance.ops_;
    filling = false;
    return true;
  }();
  static_cast<void>(filled);
  return instance;
}

bool may_refuse(const OpDef& op) { return op.traits.guard || op.traits.refuses.value_or(!registry().is_library(op)); }

}  // namespace weft
