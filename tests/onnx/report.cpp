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
      {"random numbers",
       {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}},
      {"shapes that depend on the data", {"Compress", "NonMaxSuppression", "NonZero", "Unique"}},
      {"sequences and optional values",
       {"ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceAt", "SequenceConstruct",
        "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence"}},
      {"control flow inside a graph", {"If", "Loop", "Scan"}},
      {"strings", {"RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"}},
      {"quantised tensors",
       {"ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
        "QuantizeLinear"}},
      {"convolution and pooling",
       {"AveragePool", "Col2Im", "Conv", "ConvTranspose", "DeformConv", "LpPool", "MaxPool", "MaxUnpool"}},
      {"images: resampling and regions",
       {"AffineGrid", "GridSample", "ImageDecoder", "Resize", "RoiAlign", "Upsample"}},
      {"signals", {"DFT", "MelWeightMatrix", "STFT"}},
      {"unsigned tensors", {"BitShift"}},
      {"the bits of whole numbers", {"BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"}},
      {"trees and tables (ai.onnx.ml)", {"ArrayFeatureExtractor", "Binarizer", "LabelEncoder", "TreeEnsemble"}},
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

const std::map<std::string, Amendment>& amendments() {
  static const std::map<std::string, Amendment> list = [] {
    std::map<std::string, Amendment> made;
    made["test_adam_multiple"] = {"epsilon", 0.01, 0, "epsilon = 0.01, which the model leaves to the default of 1e-6"};
    for (const std::string window : {"blackman", "hamming", "hann"})
      for (const std::string kind : {"", "_expanded", "_symmetric", "_symmetric_expanded"})
        made[fmt::format("test_{}window{}", window, kind)] = {
            "", 0, 1e-3, "within 1e-3, ONNX's own tolerance: the stored results were made with pi = 3.1415"};
    return made;
  }();
  return list;
}

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

namespace {

std::string section(const std::string& version, const Outcomes& outcomes) {
  struct Row {
    std::set<std::string> ops, cases;
  };
  std::map<std::string, Row> missing;
  std::set<std::string> covered, passed;
  std::string amended, failed;
  for (const auto& [name, outcome] : outcomes) {
    if (const auto found = amendments().find(name); found != amendments().end())
      amended += fmt::format("| {} | {} |\n", name, found->second.why);
    if (outcome.kind == Outcome::Kind::passed) {
      passed.insert(name);
      covered.insert(outcome.ops.begin(), outcome.ops.end());
    } else if (outcome.kind == Outcome::Kind::failed) {
      failed += line(name, outcome) + "\n";
    } else {
      Row& row = missing[outcome.why];
      row.cases.insert(name);
      row.ops.insert(outcome.ops.begin(), outcome.ops.end());
    }
  }
  std::string text = fmt::format(
      "## ONNX {}\n\n{}.\n\nOps in a passed case ({}): {}.\n\n"
      "Models that do not give their stored results:\n\n| case | compared |\n| --- | --- |\n{}\nNot covered:\n\n"
      "| reason | ONNX ops | cases |\n| --- | --- | --- |\n",
      version, summary(outcomes), covered.size(), joined(covered), amended);
  for (const auto& [why, row] : missing)
    text += fmt::format("| {} | {} | {}: {} |\n", why, joined(row.ops), row.cases.size(), joined(row.cases));
  if (!failed.empty()) text += "\nFailed:\n\n" + failed;
  return text + fmt::format("\nPassed: {}.\n", joined(passed));
}

}  // namespace

std::string renewed(const std::string& document, const std::string& version, const Outcomes& outcomes) {
  const std::string intro =
      "# ONNX's node cases\n\n"
      "`weft_onnx` (tests/onnx/) runs the node cases of the ONNX backend test, as Debian's libonnx-testdata has them, "
      "through\n"
      "weft's public functions, forward, and compares with the stored results. A section a version of ONNX: 1.12 is "
      "Debian 12's,\n"
      "1.17 Debian 13's. ctest's entry `onnx` runs the installed version's and compares its section;\n"
      "`build/release/bin/weft_onnx --write docs/onnx.md` renews it.\n";
  const std::string heading = "## ONNX ";
  std::map<std::string, std::string> sections;  // by their headings
  for (std::size_t at = document.find(heading); at != std::string::npos;) {
    const std::size_t end = document.find("\n" + heading, at);
    const std::string text = document.substr(at, end == std::string::npos ? end : end - at);
    sections[text.substr(0, text.find('\n'))] = text;
    at = end == std::string::npos ? end : end + 1;
  }
  sections[heading + version] = section(version, outcomes);
  std::string text = intro;
  for (const auto& entry : sections) text += "\n" + entry.second;
  return text;
}

}  // namespace onnx_node
