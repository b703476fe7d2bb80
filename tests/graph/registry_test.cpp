#include <weft/graph/registry.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

using namespace weft;

TEST_CASE("an unknown op is answered with the nearest names", "[core][graph]") {
  Registry ops;
  ops.add(toy::negate_op());
  ops.add(parameter_op());
  ops.add(input_op());
  CHECK(ops.find("negat") == nullptr);
  CHECK_THROWS_WITH(ops.at("negat"), ContainsSubstring("no op is named 'negat'; hint: the nearest are negate"));
  CHECK(&ops.at("negate") == &toy::negate_op());
}

TEST_CASE("ops come sorted by name, whatever the order of registration", "[core][graph]") {
  Registry ops;
  ops.add(parameter_op());
  ops.add(toy::negate_op());
  ops.add(input_op());
  ops.add(toy::negate_op());
  std::vector<std::string> names;
  for (const OpDef* op : ops.all()) names.push_back(op->name);
  CHECK(names == std::vector<std::string>{"input", "negate", "parameter"});
}

TEST_CASE("another op under a taken name is refused", "[core][graph]") {
  Registry ops;
  ops.add(toy::negate_op());
  OpDef other = toy::negate_op();
  CHECK_THROWS_WITH(ops.add(other), ContainsSubstring("'negate' is registered already"));
}

TEST_CASE("an op that lacks a part is refused by the part's name", "[core][graph]") {
  Registry ops;
  OpDef op = toy::negate_op();
  op.samples.clear();
  CHECK_THROWS_WITH(ops.add(op), ContainsSubstring("(.samples)"));
  op.kernels.clear();
  CHECK_THROWS_WITH(ops.add(op), ContainsSubstring("(.kernels)"));
  op.batch = nullptr;
  CHECK_THROWS_WITH(ops.add(op), ContainsSubstring("(.batch)"));
  op.infer = nullptr;
  CHECK_THROWS_WITH(ops.add(op), ContainsSubstring("(.infer)"));
  op.name.clear();
  CHECK_THROWS_WITH(ops.add(op), ContainsSubstring("needs a name"));
}

TEST_CASE("the process's registry knows the sources from the start", "[core][graph]") {
  CHECK(registry().find("input") == &input_op());
  CHECK(registry().find("parameter") == &parameter_op());
  CHECK(registry().find("state") == &state_op());
  CHECK(registry().find("constant") == &constant_op());
}
