// The checks behind check_op, one method each: check_op.cpp says in which order, check_values.cpp compares numbers,
// check_runs.cpp the ways to run, check_promises.cpp what traits promise, check_terms.cpp what is declared linear,
// check_large.cpp large numbers and many of them, check_repeated.cpp one value as two operands, check_variants.cpp
// other shapes. Private to inspect/.
#pragma once

#include <weft/inspect/op/check_op.h>
#include <weft/inspect/op/sample_run.h>

#include <functional>

namespace weft {

/// Largest |got - want| over the largest finite |want|; infinite where one is NaN or infinite and the other not.
double relative_error(const Tensor& got, const Tensor& want);

class OpChecker {
 public:
  OpChecker(const OpDef& op, OpCheckDepth depth, std::source_location where)
      : op_(op), full_(depth == OpCheckDepth::full), line_(where) {
    check_.op = op.name;
  }
  OpCheck run();

 private:
  // Runs one check; what it throws is its failure.
  void check(const std::string& name, const std::function<void()>& body);
  bool basic() const { return !op_.plain; }

  SampleRun built(const Sample& sample, DType dtype, bool by_plain = false) const {
    return {op_, sample, dtype, by_plain, line_};
  }
  void check_sample(const Sample& sample);
  void check_sample_memory(const Sample& sample, const SampleRun& exact, bool finite);
  void check_bad_inputs();

  // check_values.cpp
  void check_forward(const Sample& sample, DType dtype, const SampleRun& exact);
  void check_gradient(const SampleRun& exact);
  void check_backward(const Sample& sample, DType dtype);
  void check_backward_runs(const SampleRun& run);
  void check_nan(const Sample& sample);

  // check_runs.cpp
  void check_batch(const SampleRun& exact);
  void compare_parts(const Tensor& whole, const std::vector<std::vector<Tensor>>& parts, std::size_t k,
                     const BatchState& state) const;
  void check_threads(const SampleRun& run);
  void check_recompute(const Sample& sample, DType dtype);

  void check_micro_batches(const SampleRun& run);
  void check_batched();

  // check_promises.cpp
  void check_memory(const SampleRun& run);
  void check_rows(const SampleRun& run);
  void check_refusals(const SampleRun& run);
  void check_range(const Sample& sample);
  void check_evaluation(const SampleRun& run);

  // check_terms.cpp
  void check_terms(const SampleRun& run);
  void check_units(const SampleRun& run);
  void check_wide_operands(const Sample& sample);
  void check_declared(const Sample& sample, const SampleRun& exact);

  // check_large.cpp
  void check_offsets(const Sample& sample);
  void check_counts(const Sample& sample);

  // check_repeated.cpp
  void check_repeated(const SampleRun& run);

  // check_variants.cpp
  void check_variants(const Sample& sample);

  const OpDef& op_;
  const bool full_;
  const std::source_location line_;  ///< the user's call
  OpCheck check_;
  int sample_ = -1;
};

}  // namespace weft
