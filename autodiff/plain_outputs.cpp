#include <weft/autodiff/plain_outputs.h>

#include <weft/graph/graph.h>

#include <stdexcept>

namespace weft {

Values plain_outputs(const OpDef& op, const Plain& plain) {
  Values outputs;
  try {
    outputs = op.plain(plain);
  } catch (const std::out_of_range&) {
    WEFT_FAIL("the plain definition of '{}' reads an operand that the node does not have: it has {}; hint: p.in[0] is the first", op.name,
              plain.in.size());
  }
  WEFT_CHECK(outputs.size() == plain.out.size(),
             "the plain definition of '{}' gives {} values, the shape rule {}; hint: one for each output, in their order", op.name,
             outputs.size(), plain.out.size());
  for (std::size_t k = 0; k < outputs.size(); ++k)
    WEFT_CHECK(!outputs[k].valid() || outputs[k].shape().extents() == plain.out[k].shape.extents(),
               "the plain definition of '{}' gives {} as output {}, the shape rule {}; hint: both say what the op is", op.name,
               outputs[k].type().str(), k, plain.out[k].str());
  return outputs;
}

}  // namespace weft
