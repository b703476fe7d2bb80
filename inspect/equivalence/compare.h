// What two runs gave, quantity by quantity, against the bounds of inspect/equivalence/bounds.h. compare.cpp compares a
// run, compare_laws.cpp gradients through laws, compare_rules.cpp what each step promises. Private to inspect/.
#pragma once

#include <weft/inspect/equivalence/bounds.h>
#include <weft/inspect/equivalence/claims.h>
#include <weft/inspect/equivalence/trial.h>

#include <map>
#include <string>

namespace weft {

struct Seen {
  Observation before, after;
};

class Comparison {
 public:
  /// `before`: as it is, not its twin.
  Comparison(const Claims& claims, const EquivalenceOptions& options, const Step& before, Equivalence& result);

  /// Compares one run. `other` is the same run in the other types: of the twins for the steps' own, and the reverse;
  /// null where there is none.
  void compare(std::int64_t run, const Seen& seen, const Trial& before, const Trial& after, const Seen* other,
               bool twin);
  /// What can be said only after all runs.
  void finish();

 private:
  void judge(const Quantity& quantity);
  void published(const Seen& seen, const Seen* other, bool before_gradients);
  void norm_by_laws(const Seen& seen, const Seen* other, const Tensor& before, const Tensor& after);
  void laws_are_whole(std::map<std::string, Tensor>& told, const std::map<std::string, Tensor>& given,
                      const std::map<std::string, Tensor>& there);
  void gradients(const Seen& seen, const Seen* other);
  void cells(const Seen& seen, const Trial& before, const Trial& after, const Seen* other);
  void scale_follows_its_rule(const Trial& trial, const Observation& seen);
  void skipped_run_changes_nothing(const Trial& trial, const Observation& seen);
  void watch(const std::string& name, const Tensor& before, const Tensor& after, const Tensor* start);
  void add(Equivalence::Row row);
  Equivalence::Row row(const std::string& kind, const std::string& name, DType dtype) const;

  const Claims& claims_;
  const EquivalenceOptions& options_;
  Equivalence& result_;
  ComparedIn in_;

  // Numbers of a cell or of the loss: how many there were, and how many of them the coarse type can hold.
  struct Watched {
    std::int64_t count = 0, coarse_before = 0, coarse_after = 0;
    std::int64_t runs = 0, last_run = -1;
  };
  std::map<std::string, Watched> watched_;
};

/// Null: there is none of that name.
inline const Tensor* find_in(const std::map<std::string, Tensor>& tensors, const std::string& name) {
  const auto at = tensors.find(name);
  return at == tensors.end() ? nullptr : &at->second;
}

/// Gradients as the numbers that laws work on, and back.
GradientTable table_of(const std::map<std::string, Tensor>& gradients);
std::map<std::string, Tensor> tensors_of(const GradientTable& table);

}  // namespace weft
