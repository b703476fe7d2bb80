// The table of all ops, docs/ops.md, from the registry: weft_ops > docs/ops.md; `weft_ops --check docs/ops.md` tells
// whether the file says what the registry says, but for the accuracy, which needs a run of all checks. `weft_ops --run
// OP...` runs the checks of those ops and prints what fails: exit status 1 then, 2 for an op that does not exist;
// --run-memory runs what a build with sanitizers needs. --list FILE writes the list of all ops.
#include "made_functions.h"

#include <weft/graph/registry.h>
#include <weft/inspect/op/check_op.h>
#include <weft/inspect/op/sample_run.h>
#include <weft/ops/all.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>

using namespace weft;

namespace {

std::string list(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

// Of the first sample: what goes in and comes out.
std::string shapes(const OpDef& op) {
  const SampleRun run(op, op.samples.front(), f32);
  std::vector<std::string> in, out;
  for (const Value& operand : run.operands()) in.push_back(operand.absent() ? "-" : operand.shape().str());
  for (const Value& output : run.outputs()) out.push_back(output.valid() ? output.shape().str() : "?");
  return list(in) + (in.empty() ? "" : " ") + "→ " + list(out);
}

std::string dtypes(const OpDef& op) {
  std::vector<std::string> names;
  for (const DType dtype : {f32, f64, bf16, f16, i32, i64, boolean})
    if (op.kernel(dtype) != nullptr) names.emplace_back(name_of(dtype));
  return list(names);
}

std::string precision(const OpDef& op) {
  switch (op.traits.precision) {
    case Precision::low:
      return "low";
    case Precision::f32:
      return "f32";
    case Precision::widest:
      return "widest";
    default:
      return "follow";
  }
}

std::string gradient(const OpDef& op) {
  if (op.traits.cuts_gradient) return "cut on purpose";
  const SampleRun run(op, op.samples.front(), f64);
  const bool floating =
      std::ranges::any_of(run.outputs(), [](const Value& y) { return y.valid() && is_float(y.dtype()); });
  if (!floating || run.operands().empty()) return "-";
  return op.backward ? "own" : op.plain ? "of its plain definition" : "none";
}

// The header that declares `const OpDef& NAME_op()`, as a link from docs/.
const std::map<std::string, std::string>& declarations() {
  static const std::map<std::string, std::string> found = [] {
    std::map<std::string, std::string> headers;
    constexpr std::string_view before = "const OpDef& ", after = "_op(";
    const std::filesystem::path root = WEFT_ROOT_DIR;
    for (const char* folder : {"ops", "runtime"})
      for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
        if (entry.path().extension() != ".h") continue;
        std::ifstream file(entry.path());
        for (std::string line; std::getline(file, line);) {
          const std::size_t begin = line.find(before), end = line.find(after, begin);
          if (begin == std::string::npos || end == std::string::npos) continue;
          headers[line.substr(begin + before.size(), end - begin - before.size())] = fmt::format(
              "[{}](../{})", entry.path().filename().string(), entry.path().lexically_relative(root).generic_string());
        }
      }
    return headers;
  }();
  return found;
}

std::string declared(const OpDef& op) {
  const auto at = declarations().find(op.name);
  return at == declarations().end() ? "-" : at->second;
}

std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

// Without the accuracy.
std::string row(const OpDef& op) {
  return fmt::format("| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |", op.name, cell(op.law), cell(shapes(op)),
                     cell(list(op.outputs)), dtypes(op), precision(op), gradient(op), declared(op),
                     cell(op.source.empty() ? "-" : op.source));
}

std::string row(const MadeFunction& function) {
  return fmt::format("| `{}` | {} | {} |", function.name, cell(function.law), list(ops_of(function)));
}

std::string accuracy(double error) { return error > 0 ? fmt::format("{:.1e}", error) : "exact"; }

std::vector<const OpDef*> ops() {
  std::vector<const OpDef*> found;
  for (const OpDef* op : registry().all())
    if (!op->traits.source && !op->samples.empty()) found.push_back(op);
  std::ranges::sort(found, {}, [](const OpDef* op) { return op->name; });
  return found;
}

int check(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> rows;
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("| `")) rows.push_back(line);
  int faults = 0;
  std::vector<std::string> wanted;
  for (const OpDef* op : ops()) wanted.push_back(row(*op));
  for (const MadeFunction& function : made_functions()) wanted.push_back(row(function));
  for (const std::string& expected : wanted) {
    const auto found = std::ranges::find_if(rows, [&](const std::string& line) { return line.starts_with(expected); });
    if (found != rows.end()) {
      rows.erase(found);
      continue;
    }
    ++faults;
    std::cerr << path << " has no row: " << expected << '\n';
  }
  for (const std::string& line : rows) std::cerr << path << " has a row of no op: " << line << '\n';
  if (faults > 0 || !rows.empty()) std::cerr << "hint: build/release/bin/weft_ops > docs/ops.md\n";
  return faults > 0 || !rows.empty() ? 1 : 0;
}

// "norm softmax": the room in ops/ of its header, and the op. tests/ops/registry.cmake makes ctest's entries of it.
int write_list(const char* path) {
  std::ofstream file(path);
  for (const OpDef* op : ops()) {
    const std::string header = declared(*op);
    const std::size_t at = header.find("../ops/");
    const std::string room = at == std::string::npos ? "runtime" : header.substr(at + 7, header.rfind('/') - at - 7);
    file << room << ' ' << op->name << '\n';
  }
  return file.flush() ? 0 : 1;
}

int run_checks(std::span<char*> names, OpCheckDepth depth) {
  bool passed = true;
  for (const std::string name : names) {
    const OpDef* op = registry().find(name);
    if (op == nullptr) {
      std::cerr << "no op is named '" << name << "'\n";
      return 2;
    }
    const OpCheck result = check_op(*op, depth);
    std::cout << result.str() << name << ": " << result.lines.size() << " checks\n";
    passed = passed && result.passed();
  }
  return passed ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  register_all();
  if (count == 3 && std::string(arguments[1]) == "--check") return check(arguments[2]);
  if (count == 3 && std::string(arguments[1]) == "--list") return write_list(arguments[2]);
  for (const auto& [flag, depth] : {std::pair{"--run", OpCheckDepth::full}, {"--run-memory", OpCheckDepth::memory}})
    if (count > 1 && std::string(arguments[1]) == flag)
      return run_checks({arguments + 2, static_cast<std::size_t>(count - 2)}, depth);
  if (count != 1) {
    std::cerr << "usage: weft_ops [--check FILE | --list FILE | --run OP... | --run-memory OP...]\n";
    return 2;
  }
  std::size_t checks = 0, failed = 0;
  std::string rows;
  for (const OpDef* op : ops()) {
    const OpCheck result = check_op(*op);
    checks += result.lines.size();
    failed += static_cast<std::size_t>(!result.passed());
    rows += fmt::format("{} {} | {} | {} |\n", row(*op), op->plain || op->reference ? accuracy(result.worst_f64) : "-",
                        accuracy(result.worst_f32), result.lines.size());
  }
  std::cout << "# Ops\n\nMade by `build/release/bin/weft_ops > docs/ops.md`: " << ops().size() << " ops, " << checks
            << " generated checks, " << failed
            << " ops with a failure.\n\nShapes are those of the op's first sample. Errors are the largest of all "
               "samples, relative "
               "to the largest element, of\nthe f64 and the f32 kernel against the plain definition in f64; a basic "
               "op, which has "
               "none, is compared with its law on\nplain numbers (the generator with Random123, "
               "tests/runtime/random_test.cpp)."
               "\n\n"
               "| op | law | shapes | outputs | dtypes | mixed precision | gradient | header | paper | f64 error | f32 "
               "error | checks |\n"
               "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
            << rows
            << "\n## Functions made of these ops\n\nChecked against PyTorch's values and gradients by tests/ops/ and "
               "the golden "
               "cases.\n\n| function | law | ops of an example |\n| --- | --- | --- |\n";
  for (const MadeFunction& function : made_functions()) std::cout << row(function) << '\n';
  return failed > 0 ? 1 : 0;
}
