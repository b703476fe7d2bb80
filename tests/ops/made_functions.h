// Functions that are no ops of their own: for the table of ops.
#pragma once

#include <weft/graph/graph.h>

#include <functional>
#include <string>
#include <vector>

struct MadeFunction {
  std::string name, law;
  std::function<weft::Value(weft::Graph)> build;  ///< an example of its use
};
const std::vector<MadeFunction>& made_functions();
/// The ops in the example, each once, in the order of use.
std::vector<std::string> ops_of(const MadeFunction& function);
