// What became of the cases, in lines and as a table.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace onnx_node {

struct Outcome {
  enum class Kind { passed, failed, not_covered };
  Kind kind = Kind::passed;
  std::string why = {};               ///< of a failure: the first difference; else the reason
  std::vector<std::string> ops = {};  ///< of the model; of what is not covered: the one op that it is about
};

/// A case whose stored results its model does not give exactly.
struct Amendment {
  std::string attribute;  ///< one that the model lacks ("": none), and its value
  double value = 0;
  double of_scale = 0;  ///< what a difference may be of the largest element; 0: as for every case
  std::string why;
};
/// By the case's name.
const std::map<std::string, Amendment>& amendments();

using Outcomes = std::map<std::string, Outcome>;  ///< by the case's name

std::string line(const std::string& name, const Outcome& outcome);
std::string summary(const Outcomes& outcomes);
/// The document (docs/onnx.md) in which the section of this version of ONNX says what came of the cases: a section a
/// version, for Debian's suites have different cases.
std::string renewed(const std::string& document, const std::string& version, const Outcomes& outcomes);
/// Why no adapter of `op` is there, in the words of the table.
std::string reason(const std::string& op);

}  // namespace onnx_node
