// ONNX files as plain data. Only onnx_model.cpp includes protobuf.
#pragma once

#include <weft/runtime/tensor.h>

#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace onnx_node {

using weft::Tensor;

/// What weft does not have, in the words of the table ("uint8 tensors").
struct NotCovered : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// monostate: a subgraph or a list of strings, which no covered op has.
using Attribute = std::variant<std::monostate, std::int64_t, double, std::string, std::vector<std::int64_t>,
                               std::vector<double>, Tensor>;

struct Node {
  std::string op;
  std::vector<std::string> inputs, outputs;  ///< "": absent
  std::map<std::string, Attribute> attributes;
};

struct Model {
  std::int64_t opset = 0;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, Tensor> initializers;
  std::vector<Node> nodes;
};

/// UserError if the file cannot be read, NotCovered if it holds what a weft tensor cannot; `ops` are then there
/// already.
Model read_model(const std::filesystem::path& file, std::vector<std::string>& ops);
Tensor read_tensor(const std::filesystem::path& file);
/// The type of ONNX's enumeration.
weft::DType dtype_of(std::int64_t onnx_type);

}  // namespace onnx_node
