#include <weft/autodiff/plain_outputs.h>

#include <weft/graph/graph.h>
#include <weft/graph/user_rule.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace weft {

namespace {

Values outputs_of(const std::string& what, const OpDef& op, const PlainRule& rule, const Plain& plain) {
  const Values outputs = user_rule(fmt::format("{} of '{}'", what, op.name), [&] {
    try {
      return rule(plain);
    } catch (const std::out_of_range&) {
      WEFT_FAIL("{} of '{}' reads an operand that the node does not have: it has {}; hint: p.in[0] is the first", what,
                op.name, plain.in.size());
    }
  });
  WEFT_CHECK(outputs.size() == plain.out.size(),
             "{} of '{}' gives {} values, the shape rule {}; hint: one for each output, in their order", what, op.name,
             outputs.size(), plain.out.size());
  for (std::size_t k = 0; k < outputs.size(); ++k)
    WEFT_CHECK(!outputs[k].valid() || outputs[k].shape().extents() == plain.out[k].shape.extents(),
               "{} of '{}' gives {} as output {}, the shape rule {}; hint: both say what the op is", what, op.name,
               outputs[k].type().str(), k, plain.out[k].str());
  return outputs;
}

}  // namespace

Values plain_outputs(const OpDef& op, const Plain& plain) {
  const auto given = std::ranges::find_if(plain.in, [](const Value& value) { return value.valid(); });
  const NodeId first = given == plain.in.end() ? 0 : given->graph().next_id();
  const Values outputs = outputs_of("the plain definition", op, op.plain, plain);
  if (given == plain.in.end()) return outputs;
  const Graph graph = given->graph();
  for (const NodeId id : graph.ids())
    WEFT_CHECK(id < first || graph.node(id).op != &op,
               "the plain definition of '{}' is made of '{}' itself, which says nothing of what it is; hint: other ops",
               op.name, op.name);
  return outputs;
}

Values evaluation_outputs(const OpDef& op, const Plain& plain) {
  const Values outputs = outputs_of("the evaluation rule", op, op.evaluation, plain);
  for (std::size_t k = 0; k < outputs.size(); ++k)
    WEFT_CHECK(!outputs[k].valid() || outputs[k].dtype() == plain.out[k].dtype,
               "the evaluation rule of '{}' gives {} as output {}, the shape rule {}; hint: outside training the value "
               "has the same type",
               op.name, outputs[k].type().str(), k, plain.out[k].str());
  return outputs;
}

}  // namespace weft
