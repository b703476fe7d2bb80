// One side of a comparison: a step that publishes all that is compared, its store and its program. Private to inspect/
// and testing/.
#pragma once

#include <weft/graph/step.h>
#include <weft/inspect/equivalence/random_feeds.h>
#include <weft/runtime/program.h>
#include <weft/runtime/store.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weft {

/// What one run gave. `cells`: parameters and states that the step updates, after the run; `starts`: before it.
struct Observation {
  std::map<std::string, Tensor> published, gradients, starts, cells;
  bool finite = true;   ///< whether the update was taken
  bool counted = true;  ///< whether the loss had weight
  bool due = true;      ///< of an accumulation over runs: whether this run ends it
};

/// The step with its gradients unscaled and checked (optim/unscale_and_check.h) and fetched under gradient_fetch(path).
Step observed(const Step& step);
std::string gradient_fetch(const std::string& path);

/// Whether a state or parameter of both steps means the same in both: not the loss scale with its tracker, nor sums
/// over runs of gradients that one of them has scaled.
bool is_shared(const std::string& path, const Step& a, const Step& b);

class Trial {
 public:
  Trial(const Step& step, std::uint64_t seed);

  const Step& step() const { return step_; }
  const Store& store() const { return *store_; }
  /// The store as it was before the last run.
  const Store& start() const { return *start_; }
  Observation run(const NamedTensors& feeds);
  /// Takes over parameters and states that both share, converted to this one's types. `step` is that of `from`.
  void take_cells(const Store& from, const Step& step);

 private:
  Step step_;
  std::unique_ptr<Store> store_, start_;
  std::unique_ptr<Program> program_;
  std::vector<std::string> updated_;
};

}  // namespace weft
