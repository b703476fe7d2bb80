// The first node of a step that differs from another framework's activations: a safetensors file of tensors by name
// (io/safetensors.h), as a forward hook of PyTorch writes it.
//
//   const DumpComparison result = compare_with_dump(step, feeds, read_safetensors("activations.safetensors"),
//       {.names = {{"h.*.ln_1", "decoder/*/norm_1"}, {"logits", "gpt/head"}}, .relative = 1e-5});
//   if (!result.passed()) std::cout << result.str();
#pragma once

#include <weft/graph/step.h>
#include <weft/inspect/divergence/first_divergence.h>
#include <weft/io/safetensors.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace weft {

struct DumpOptions {
  /// Names of the dump beside paths of values (Value::name(): "block/0/norm", "block/0/norm.1" for output 1). A *
  /// stands for the same text on both sides, without '.' and '/' (** with them), each in its turn. A tensor of the dump
  /// that stands here nowhere is looked for under its own name.
  std::vector<std::pair<std::string, std::string>> names = {};
  /// Names of the dump beside values of the user's graph.
  std::vector<std::pair<std::string, Value>> values = {};
  double relative = 1e-5;  ///< these three as DivergenceOptions
  double absolute = 0;
  double ulps = 0;
  const Store* store = nullptr;  ///< the other framework's weights; null: a new store of `seed`
  std::uint64_t seed = 0;
};

/// What was compared, in build order, and what had no counterpart.
struct DumpComparison {
  struct Row {
    std::string name, path;  ///< in the dump, in the step
    double error = 0;        ///< largest |difference|
    double bound = 0;        ///< of that element; 0 and error 0 where the bits or numbers are the same
    bool passed = true;
  };
  std::optional<Divergence> first;  ///< the first that differs; `origin` is its name in the dump
  std::vector<Row> rows;
  std::vector<std::string> only_in_dump;  ///< tensors that no value of the step stands for
  std::vector<std::string> only_in_step;  ///< entries of `names` that match no value, values that are not in the dump,
                                          ///< or of which a step of micro-batches has only the last part

  /// All that was compared agrees. What had no counterpart does not count: complete() says that there was none.
  bool passed() const { return !first.has_value(); }
  bool complete() const { return only_in_dump.empty() && only_in_step.empty(); }
  std::string str() const;
};
std::ostream& operator<<(std::ostream& out, const DumpComparison& comparison);

/// Runs the step once and compares every value that has a counterpart in the dump, both as numbers in double.
/// UserError: as of Program::run(); nothing to compare (what there is on both sides is listed); values whose extents
/// differ from the dump's (all of them); stars that are not as many on both sides; a name that is to be two values, or
/// a value two names.
DumpComparison compare_with_dump(const Step& step, std::span<const Feed> feeds, const Safetensors& dump,
                                 const DumpOptions& options = {});

}  // namespace weft
