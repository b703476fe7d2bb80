// What two runs gave, quantity by quantity, against the bounds of inspect/equivalence/verify_equivalent.h.
// Not in <weft/weft.h>.
#pragma once

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
  /// A quantity of both, and of `before` in the other types (absent: null).
  struct Pair {
    std::string kind, name;
    const Tensor *before = nullptr, *after = nullptr, *other = nullptr;
    const Tensor *start = nullptr, *other_start = nullptr;  ///< of a cell: before the run, on the side of `before`
    bool exact = false;                                     ///< the bits must be the same
    double floor = 0;                                       ///< numbers far below it are noise
    /// Of a cell: its parameter's gradients on both sides. Where they differ and are below `noise`, nothing but
    /// rounding is left of them, and an update by their sign (Lion's, Adam's first) has any sign.
    const Tensor *gradient_before = nullptr, *gradient_after = nullptr;
    double noise = 0;
  };
  void judge(const Pair& pair);
  static double of_cell(const Pair& pair);  ///< a factor of the bounds
  double bound_in_twin(const Pair& pair) const;
  double bound_in_own(const Pair& pair) const;
  double error_of(const Pair& pair, const Tensor& wanted, double bound) const;
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
  std::int64_t run_ = 0;
  bool twin_ = false;
  double own_unit_ = 0x1p-53;  ///< unit roundoff of the coarsest type in which `before` computes

  // Numbers of a cell or of the loss: how many there were, and how many of them the coarse type can hold.
  struct Watched {
    std::int64_t count = 0, coarse_before = 0, coarse_after = 0;
    std::int64_t runs = 0, last_run = -1;
  };
  std::map<std::string, Watched> watched_;
};

}  // namespace weft
