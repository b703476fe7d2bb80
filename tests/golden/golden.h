// Cases of weft_golden: each rebuilds in weft what the file's numbers were computed with elsewhere.
#pragma once

#include <weft/graph/graph.h>
#include <weft/io/safetensors.h>
#include <weft/runtime/tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace golden {

using weft::Safetensors;
using weft::Tensor;
using weft::Value;

/// |got - want| <= absolute + relative |want|
struct Tolerance {
  double absolute = 1e-9, relative = 1e-7;
};

/// The first difference beyond the tolerance, in words; "" if there is none.
std::string difference(const std::string& what, const Tensor& got, const Tensor& want, Tolerance tolerance = {});

/// The inputs of a case as values of a graph.
class Case {
 public:
  explicit Case(const Safetensors& file);
  /// The tensor "in.NAME".
  Value in(const std::string& name) const;
  Value p(const std::string& name) const { return in("p." + name); }
  bool has(const std::string& name) const { return inputs_.contains(name); }
  weft::Graph graph() const { return graph_; }

 private:
  weft::Graph graph_;
  std::map<std::string, Value> inputs_;
};

/// Computes "" or what is wrong.
using Check = std::function<std::string(const Safetensors&)>;
using Cases = std::map<std::string, Check>;

/// Results "out.0", "out.1", ... and the gradient of sum_i <out_i, cot_i> by every input that has a "grad.".
Check outputs(std::function<std::vector<Value>(const Case&)> build);
/// The same for one result.
Check output(std::function<Value(const Case&)> build);
/// Named results "out.NAME" and the gradient of the one named `of`.
Check named_outputs(std::function<std::map<std::string, Value>(const Case&)> build, const std::string& of);

Cases basic_cases();
Cases loss_cases();
Cases attention_cases();
Cases transformer_cases();
Cases training_cases();
Cases optim_cases();

/// Cases that are files of another format beside the index: by the file's name, which without its ending is the case's.
using FileCheck = std::function<std::string(const std::filesystem::path&)>;
using FileCases = std::map<std::string, FileCheck>;
FileCases file_cases();

}  // namespace golden
