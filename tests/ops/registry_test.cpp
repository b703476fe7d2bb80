// The tests that registering an op creates (autodiff/check_op.h lists them): nobody writes these by hand.
#include <support/catch.h>

#include <weft/autodiff/check_op.h>
#include <weft/graph/registry.h>
#include <weft/ops/all.h>

#include <cstdlib>
#include <iostream>

using namespace weft;

// WEFT_OP=name checks one op.
TEST_CASE("every registered op passes the checks made from its samples", "[core][ops][registry]") {
  register_all();
  const char* only = std::getenv("WEFT_OP");
  std::size_t ops = 0, checks = 0;
  for (const OpDef* op : registry().all()) {
    if (op->traits.source || (only != nullptr && op->name != only)) continue;
    DYNAMIC_SECTION(op->name) {
      const OpCheck result = check_op(*op);
      INFO(result.str());
      CHECK(result.passed());
      CHECK(result.lines.size() > 1);
      checks += result.lines.size();
      if (only != nullptr)
        std::cout << op->name << ": " << checks << " checks, worst forward error f32 " << result.worst_f32 << ", f64 "
                  << result.worst_f64 << '\n';
    }
    ++ops;
  }
  CHECK(ops > 0);
}
