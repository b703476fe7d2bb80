// The tests that registering an op creates (autodiff/check_op.h lists them): nobody writes these by hand.
#include <support/catch.h>

#include <weft/autodiff/check_op.h>
#include <weft/graph/registry.h>
#include <weft/ops/all.h>

#include <cstdlib>
#include <iostream>

using namespace weft;

namespace {

// WEFT_OP=name,name checks those ops only.
bool chosen(const std::string& name) {
  const char* only = std::getenv("WEFT_OP");
  return only == nullptr || ("," + std::string(only) + ",").find("," + name + ",") != std::string::npos;
}

}  // namespace

TEST_CASE("every registered op passes the checks made from its samples", "[core][ops][registry]") {
  register_all();
  std::size_t ops = 0, checks = 0;
  for (const OpDef* op : registry().all()) {
    if (op->traits.source || !chosen(op->name)) continue;
    DYNAMIC_SECTION(op->name) {
      const OpCheck result = check_op(*op);
      INFO(result.str());
      CHECK(result.passed());
      CHECK(result.lines.size() > 1);
      checks += result.lines.size();
      if (std::getenv("WEFT_OP") != nullptr)
        std::cout << op->name << ": " << checks << " checks, worst forward error f32 " << result.worst_f32 << ", f64 "
                  << result.worst_f64 << '\n';
    }
    ++ops;
  }
  CHECK(ops > 0);
}
