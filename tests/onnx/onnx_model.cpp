#include "onnx_model.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace onnx_node {

using weft::DType;

DType dtype_of(std::int64_t onnx_type) {
  switch (onnx_type) {
    case onnx::TensorProto::FLOAT:
      return weft::f32;
    case onnx::TensorProto::DOUBLE:
      return weft::f64;
    case onnx::TensorProto::BFLOAT16:
      return weft::bf16;
    case onnx::TensorProto::FLOAT16:
      return weft::f16;
    case onnx::TensorProto::INT32:
      return weft::i32;
    case onnx::TensorProto::INT64:
      return weft::i64;
    case onnx::TensorProto::BOOL:
      return weft::boolean;
    case onnx::TensorProto::STRING:
      throw NotCovered("strings");
    case onnx::TensorProto::INT8:
    case onnx::TensorProto::INT16:
      throw NotCovered("int8 and int16 tensors");
    case onnx::TensorProto::UINT8:
    case onnx::TensorProto::UINT16:
    case onnx::TensorProto::UINT32:
    case onnx::TensorProto::UINT64:
      throw NotCovered("unsigned tensors");
    case onnx::TensorProto::COMPLEX64:
    case onnx::TensorProto::COMPLEX128:
      throw NotCovered("tensors of complex numbers");
    default:  // since ONNX 1.14 and 1.16
      throw NotCovered("numbers of 4 and 8 bits");
  }
}

namespace {

template <class Message>
Message parse(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  Message message;
  WEFT_CHECK(in.is_open() && message.ParseFromIstream(&in), "'{}' cannot be read", file.string());
  return message;
}

// Elements stored one a number: 2-byte floats as their bits in int32_data.
template <class T, class Stored>
void fill(Tensor& tensor, const google::protobuf::RepeatedField<Stored>& stored) {
  WEFT_CHECK(stored.size() == tensor.size(), "a tensor of {} elements holds {}", tensor.size(), stored.size());
  auto* to = reinterpret_cast<T*>(tensor.raw());
  for (const Stored value : stored) *to++ = static_cast<T>(value);
}

Tensor tensor_of(const onnx::TensorProto& stored) {
  Tensor tensor(dtype_of(stored.data_type()), {stored.dims().begin(), stored.dims().end()});
  if (stored.has_raw_data()) {
    WEFT_CHECK(stored.raw_data().size() == tensor.bytes(), "{} takes {} bytes, stored are {}", tensor.type_str(),
               tensor.bytes(), stored.raw_data().size());
    if (tensor.size() > 0) std::memcpy(tensor.raw(), stored.raw_data().data(), tensor.bytes());
    return tensor;
  }
  switch (tensor.dtype()) {
    case DType::f32:
      fill<float>(tensor, stored.float_data());
      break;
    case DType::f64:
      fill<double>(tensor, stored.double_data());
      break;
    case DType::i64:
      fill<std::int64_t>(tensor, stored.int64_data());
      break;
    case DType::i32:
      fill<std::int32_t>(tensor, stored.int32_data());
      break;
    case DType::boolean:
      fill<bool>(tensor, stored.int32_data());
      break;
    case DType::bf16:
    case DType::f16:
      fill<std::uint16_t>(tensor, stored.int32_data());
      break;
  }
  return tensor;
}

Attribute attribute_of(const onnx::AttributeProto& stored) {
  switch (stored.type()) {
    case onnx::AttributeProto::INT:
      return stored.i();
    case onnx::AttributeProto::FLOAT:
      return static_cast<double>(stored.f());
    case onnx::AttributeProto::STRING:
      return stored.s();
    case onnx::AttributeProto::INTS:
      return std::vector<std::int64_t>(stored.ints().begin(), stored.ints().end());
    case onnx::AttributeProto::FLOATS:
      return std::vector<double>(stored.floats().begin(), stored.floats().end());
    case onnx::AttributeProto::TENSOR:
      return tensor_of(stored.t());
    default:
      return {};
  }
}

Node node_of(const onnx::NodeProto& stored) {
  Node node{.op = stored.op_type(),
            .inputs = {stored.input().begin(), stored.input().end()},
            .outputs = {stored.output().begin(), stored.output().end()},
            .attributes = {}};
  for (const onnx::AttributeProto& attribute : stored.attribute())
    node.attributes.emplace(attribute.name(), attribute_of(attribute));
  return node;
}

// An empty name is ONNX's own domain.
std::int64_t opset_of(const onnx::ModelProto& model) {
  std::int64_t version = 0;
  for (const auto& opset : model.opset_import()) version = std::max(version, opset.version());
  for (const auto& opset : model.opset_import())
    if (opset.domain().empty()) version = opset.version();
  return version;
}

void expect_tensors(const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& values) {
  for (const onnx::ValueInfoProto& value : values)
    if (!value.type().has_tensor_type()) throw NotCovered("sequences and optional values");
}

}  // namespace

Model read_model(const std::filesystem::path& file, std::vector<std::string>& ops) {
  const auto stored = parse<onnx::ModelProto>(file);
  const onnx::GraphProto& graph = stored.graph();
  for (const onnx::NodeProto& node : graph.node()) ops.push_back(node.op_type());
  Model model{.opset = opset_of(stored), .inputs = {}, .outputs = {}, .initializers = {}, .nodes = {}};
  for (const onnx::NodeProto& node : graph.node()) model.nodes.push_back(node_of(node));
  expect_tensors(graph.input());
  expect_tensors(graph.output());
  for (const auto& value : graph.input()) model.inputs.push_back(value.name());
  for (const auto& value : graph.output()) model.outputs.push_back(value.name());
  for (const auto& tensor : graph.initializer()) model.initializers.emplace(tensor.name(), tensor_of(tensor));
  return model;
}

Tensor read_tensor(const std::filesystem::path& file) { return tensor_of(parse<onnx::TensorProto>(file)); }

}  // namespace onnx_node
