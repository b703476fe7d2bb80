// The proof that transforms did not change the mathematics: two steps over one graph run on the same random feeds, in
// float64 and in their own types, and everything that both compute is compared by what the transforms claim.
#pragma once

#include <weft/graph/step.h>
#include <weft/inspect/divergence/first_divergence.h>
#include <weft/inspect/equivalence/random_feeds.h>

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace weft {

struct EquivalenceOptions {
  int runs = 3;            ///< steps; each on feeds of its own
  std::uint64_t seed = 0;  ///< of parameters, dropout and feeds
  /// Feeds of a run (0, 1, ...) in the steps' own types; absent: random_feeds with the next two.
  std::function<NamedTensors(std::int64_t run)> feeds = {};
  std::map<std::string, std::int64_t> integers = {};  ///< RandomFeeds::integers
  std::map<std::string, double> padding = {};         ///< RandomFeeds::padding
  /// What must hold instead of what the transforms claim; with `rounding`, to which type it rounds (f64: the steps'
  /// own).
  std::optional<Claim> claim = std::nullopt;
  DType rounds_to = f64;
  /// Changes of meaning only add states and published values: what both steps update must agree as well.
  bool adds_only = false;
  bool float64 = true;     ///< run the float64 twins (inspect/equivalence/widen.h)
  bool own_types = true;   ///< run the steps as they are
  bool find_first = true;  ///< on failure, look for the first node that differs
};

/// What was compared, and how it came out.
struct Equivalence {
  /// One quantity of one run.
  struct Row {
    std::string kind;   ///< "published", "gradient", "cell" (a parameter or a state after the run), "loss scale"
    std::string name;   ///< "loss"; the path of the parameter or state
    DType dtype = f64;  ///< f64: in the twins; else the type in which it was compared
    bool twin = false;
    std::int64_t run = 0;
    double error = 0;  ///< largest |difference| of an element
    double bound = 0;  ///< what is allowed; 0: the bits must be the same
    bool passed = true;
    std::string note = {};  ///< of a failure that is not a number: what is wrong
    std::string str() const;
  };
  /// A transform that one step has and the other lacks.
  struct ClaimLine {
    Applied transform;
    bool of_before = false;  ///< it is `before` that has it
  };

  std::string before, after;  ///< the chains of transforms
  std::vector<ClaimLine> claims;
  std::vector<Row> worst;  ///< per kind and type, the row nearest to its bound
  std::vector<Row> failures;
  std::map<std::string, std::int64_t> compared;  ///< quantities by kind, over all runs
  std::int64_t runs = 0, skipped = 0;            ///< runs, and those of them whose update was not taken
  std::optional<Divergence> first;               ///< the first node that differs
  std::string first_quantity;                    ///< otherwise: the node of the first quantity that failed

  bool passed() const { return failures.empty(); }
  explicit operator bool() const { return passed(); }
  /// What was compared, the worst error of each kind with its bound, claim by claim, and what failed where.
  std::string str() const;
};
std::ostream& operator<<(std::ostream& out, const Equivalence& equivalence);

/// Runs both steps and checks the claims of the transforms by which they differ (in order; usually `after` is `before |
/// t1 | t2`): published values, clean gradients of all parameters (unscaled, divided by their weight, as the step's
/// optimizer would read them), parameters and states after each run.
///
/// - same_bits: the same bits, in float64 and in the steps' own types.
/// - rounding, in float64: |a - b| <= (run + 1) max(1e-12 s, 16 e 2^-53 / u), s the largest number of the tensor, e the
///   error of `before` in its own types, measured against its float64 twin, u the unit roundoff of the coarsest of
///   these (where there is none narrower than f64: 1e-10 s).
/// - rounding, in the own types, with U the unit roundoff of the coarsest type to which a transform rounds, v that of
///   the tensor: |a - B| <= 8 (e U / u + U s) + 8 v s, B the float64 twin of `before`; the first s of a
///   parameter or state is its change;
///   the first 8 of gradients and published values is 12 (run + 1) where U > u.
/// - both bounds are 8 times as wide for parameters and states after a run: optimizers magnify the rounding of small
///   gradients. inspect/equivalence/bounds.h says what each number is.
///   Parameters, states and the loss must not have been rounded to the coarse type.
/// - changes_meaning: the law, where there is one, must predict the gradients of one from the other's; published values
///   that both have and, without a law, gradients must agree, each run from the same parameters and states.
/// - a loss scale must follow its rule (graph/step.h), and a run whose gradients are not finite must change no
///   parameter, no state of an optimizer, no average and no count of updates.
///
/// UserError: the steps have other inputs, parameters or types; no gradients; an integer input without a bound; no
/// runs.
Equivalence verify_equivalent(const Step& before, const Step& after, const EquivalenceOptions& options = {});

}  // namespace weft
