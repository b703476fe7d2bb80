// One sample of an op as a graph with feeds: what check_op runs. Private to inspect/.
#pragma once

#include <weft/graph/graph.h>
#include <weft/runtime/program.h>

#include <map>
#include <source_location>
#include <vector>

namespace weft {

class SampleRun {
 public:
  /// The sample with floats of `dtype`. `by_plain`: through the plain definition. Its nodes are of the line `where`.
  SampleRun(const OpDef& op, const Sample& sample, DType dtype, bool by_plain = false,
            std::source_location where = std::source_location::current());

  Graph graph() const { return graph_; }
  const Values& operands() const { return operands_; }
  const Values& outputs() const { return outputs_; }
  /// Whether it builds and every node has a kernel; the reason if not.
  bool supported() const;
  std::vector<Feed> feeds() const;
  /// The same numbers rounded to another run's dtype: so that both compute from equal operands.
  void take_values(const SampleRun& other);
  std::vector<Tensor> run(int threads = 0) const;
  /// What the op's reference gives for the same numbers, in f64.
  std::vector<Tensor> by_reference() const;
  bool has_batch() const;
  std::int64_t batch() const { return batch_; }
  /// The feeds of example `i` alone.
  std::vector<Tensor> example(std::int64_t i) const;
  const std::vector<std::string>& names() const { return names_; }
  std::vector<Value> smooth_inputs() const;
  /// Two parts of one number (OpDef::parts) as their sum.
  std::vector<Value> float_outputs() const;
  const Tensor& tensor(std::size_t fed) const { return tensors_[fed]; }
  /// The same run with one element of a fed operand replaced.
  SampleRun with(std::size_t fed, std::int64_t element, double value) const;
  /// The same run with other numbers for fed operands: by their number among the fed.
  SampleRun with(const std::map<std::size_t, Tensor>& others) const;
  /// Which of the fed operands the op's operand i is; -1: it is absent.
  int fed_of(int operand) const;
  /// Floating operands that are differentiated.
  std::vector<Value> differentiable_inputs() const;
  /// For each output a cotangent of its type; empty where the output is not floating. Parts of one number have one.
  std::vector<Tensor> cotangents() const;
  /// <outputs, cotangents> differentiated by differentiable_inputs(); empty where nothing flows.
  std::vector<Tensor> gradients(const std::vector<Tensor>& cotangents) const;

 private:
  const OpDef& op_;
  const Sample& sample_;
  Graph graph_;
  Values operands_, outputs_;
  std::vector<std::string> names_;  ///< of fed operands
  std::vector<Tensor> tensors_;
  std::vector<const SampleInput*> inputs_;
  std::int64_t batch_ = 0;
};

}  // namespace weft
