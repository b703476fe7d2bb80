// What mixed precision asks of every op of the registry: a policy that was chosen, and kernels for what it implies.
#include <support/catch.h>

#include <weft/inspect/op/sample_run.h>
#include <weft/weft.h>

#include <fstream>
#include <map>

using namespace weft;

namespace {

const std::map<Precision, std::string> names{
    {Precision::low, "low"}, {Precision::f32, "f32"}, {Precision::widest, "widest"}, {Precision::follow, "follow"}};

std::vector<const OpDef*> ops() {
  register_all();
  std::vector<const OpDef*> found;
  for (const OpDef* op : registry().all())
    if (!op->traits.source && !op->samples.empty()) found.push_back(op);
  return found;
}

// The ops that a row "| policy | `op`, `op` | .. |" of docs/transforms.md names.
std::map<std::string, std::string> documented() {
  std::ifstream file(WEFT_TESTS_DIR "/../docs/transforms.md");
  std::map<std::string, std::string> policies;
  for (std::string line; std::getline(file, line);)
    for (const auto& [precision, name] : names) {
      if (!line.starts_with("| " + name + " | ")) continue;
      const std::string cell = line.substr(name.size() + 5, line.find(" | ", name.size() + 5) - name.size() - 5);
      for (std::size_t at = cell.find('`'); at != std::string::npos; at = cell.find('`', at)) {
        const std::size_t end = cell.find('`', at + 1);
        policies[cell.substr(at + 1, end - at - 1)] = name;
        at = end + 1;
      }
    }
  return policies;
}

bool has_floats(const SampleRun& run) {
  return std::ranges::any_of(run.operands(), [](const Value& x) { return x.valid() && is_float(x.dtype()); });
}

}  // namespace

TEST_CASE("the table of policies in docs/transforms.md says what the registry says", "[core][optim][precision]") {
  std::map<std::string, std::string> table = documented();
  for (const OpDef* op : ops()) {
    INFO(op->name << " is " << names.at(op->traits.precision)
                  << "; hint: a row of \"Mixed precision\" in docs/transforms.md");
    CHECK(table[op->name] == names.at(op->traits.precision));
    table.erase(op->name);
  }
  for (const auto& [name, policy] : table)
    FAIL_CHECK("docs/transforms.md gives '" << name << "', which is no op, as " << policy);
}

TEST_CASE("an op that may run in bf16 or f16 has kernels for it, backward too", "[core][optim][precision]") {
  std::size_t ran = 0;
  for (const OpDef* op : ops()) {
    if (op->traits.precision == Precision::f32) continue;
    for (const DType low : {bf16, f16})
      for (const Sample& sample : std::span(op->samples).first(std::min<std::size_t>(2, op->samples.size()))) {
        const SampleRun run(*op, sample, low);
        if (!has_floats(run)) continue;
        INFO(op->name << " in " << name_of(low));
        run.graph().check();
        REQUIRE(run.supported());
        if (run.differentiable_inputs().empty() || op->traits.cuts_gradient) continue;
        // Throws where a node of the backward pass has no kernel or no agreeing types.
        for (const Tensor& gradient : run.gradients(run.cotangents()))
          if (!gradient.empty()) CHECK(gradient.dtype() != f64);
        ++ran;
      }
  }
  CHECK(ran > 200);
}
