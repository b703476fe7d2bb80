#include <weft/ops/kit/build.h>
#include <weft/ops/shape/creation.h>

namespace weft {

Graph graph_of(std::initializer_list<Arg> args) {
  for (const Arg& arg : args)
    if (!arg.is_number() && !arg.value().absent()) return arg.value().graph();
  WEFT_FAIL("an op needs at least one operand that is a Value of a graph");
}

std::optional<Scope> called_at(std::initializer_list<Arg> args) {
  for (const Arg& arg : args)
    if (!arg.is_number() && !arg.value().absent()) return arg.value().graph().scope("", args.begin()->where());
  return std::nullopt;
}

Values build_all(const OpDef& op, std::initializer_list<Arg> args, Attributes attributes) {
  Graph graph = graph_of(args);
  const auto where = args.begin()->where();
  const Value* tensor = nullptr;
  for (const Arg& arg : args)
    if (tensor == nullptr && !arg.is_number() && arg.value().valid()) tensor = &arg.value();
  Values operands;
  for (const Arg& arg : args) {
    if (!arg.is_number()) operands.push_back(arg.value());
    else if (tensor == nullptr) operands.emplace_back(graph.data(), ValueRef{});  // the tensor failed: so does this
    else operands.push_back(full(graph, {}, tensor->dtype(), arg.exact_number(), where));
  }
  return graph.apply(op, operands, std::move(attributes), where);
}

Value build(const OpDef& op, std::initializer_list<Arg> args, Attributes attributes) {
  return build_all(op, args, std::move(attributes)).front();
}

}  // namespace weft
