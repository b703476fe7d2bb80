#include "report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace onnx_node {

namespace {

struct Reason {
  std::string text;
  std::set<std::string> ops;
};

const std::vector<Reason>& reasons() {
  static const std::vector<Reason> list{
      {"random numbers", {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
                          "RandomUniformLike"}},
      {"shapes that depend on the data", {"Compress", "NonMaxSuppression", "NonZero", "Unique"}},
      {"sequences and optional values",
       {"ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceAt", "SequenceConstruct",
        "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence"}},
      {"control flow inside a graph", {"If", "Loop", "Scan"}},
      {"strings", {"StringNormalizer", "TfIdfVectorizer"}},
      {"quantised tensors",
       {"ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
        "QuantizeLinear"}},
      {"convolution and pooling",
       {"AveragePool", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool", "MaxUnpool"}},
      {"images: resampling and regions", {"GridSample", "Resize", "RoiAlign", "Upsample"}},
      {"signals", {"DFT", "MelWeightMatrix", "STFT"}},
      {"unsigned tensors", {"BitShift"}},
      {"functions that weft does not have", {"Acos", "Asin", "Atan", "Det"}},
  };
  return list;
}

std::size_t count(const Outcomes& outcomes, Outcome::Kind kind) {
  return static_cast<std::size_t>(
      std::ranges::count_if(outcomes, [kind](const auto& entry) { return entry.second.kind == kind; }));
}

std::string joined(const std::set<std::string>& words) { return fmt::format("{}", fmt::join(words, ", ")); }

}  // namespace

std::string reason(const std::string& op) {
  for (const Reason& reason : reasons())
    if (reason.ops.contains(op)) return reason.text;
  return "no adapter yet";
}

std::string line(const std::string& name, const Outcome& outcome) {
  if (outcome.kind == Outcome::Kind::passed) return fmt::format("passed {}", name);
  if (outcome.kind == Outcome::Kind::failed) return fmt::format("failed {}: {}", name, outcome.why);
  return fmt::format("not covered {}: the ONNX op {}: {}", name, fmt::join(outcome.ops, ", "), outcome.why);
}

std::string summary(const Outcomes& outcomes) {
  return fmt::format("{} passed, {} failed, {} not covered", count(outcomes, Outcome::Kind::passed),
                     count(outcomes, Outcome::Kind::failed), count(outcomes, Outcome::Kind::not_covered));
}

std::string markdown(const Outcomes& outcomes) {
  struct Row {
    int cases = 0;
    std::set<std::string> ops;
  };
  std::map<std::string, Row> missing;
  std::set<std::string> covered;
  for (const auto& [name, outcome] : outcomes) {
    if (outcome.kind == Outcome::Kind::passed) covered.insert(outcome.ops.begin(), outcome.ops.end());
    if (outcome.kind != Outcome::Kind::not_covered) continue;
    Row& row = missing[outcome.why];
    ++row.cases;
    row.ops.insert(outcome.ops.begin(), outcome.ops.end());
  }
  std::string text = fmt::format(
      "# ONNX's node cases\n\n"
      "`weft_onnx` (tests/onnx/) runs the node cases of the ONNX backend test, as Debian's libonnx-testdata has them, through\n"
      "weft's public functions, forward, and compares with the stored results. Written by `weft_onnx --markdown`.\n\n"
      "{}.\n\n## Covered\n\nOps that stand in a passed case ({}): {}.\n\n## Not covered\n\n"
      "| reason | cases | ONNX ops |\n| --- | --- | --- |\n",
      summary(outcomes), covered.size(), joined(covered));
  for (const auto& [why, row] : missing) text += fmt::format("| {} | {} | {} |\n", why, row.cases, joined(row.ops));
  return text;
}

}  // namespace onnx_node
