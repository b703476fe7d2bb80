// Ranks heads by their importance (Michel et al. 2019, "Are Sixteen Heads Really Better than One?"); by this ranking
// heads are masked (optim/gates.h) and pruned (nn/prune.h).
#pragma once

#include <weft/nn/attention_nodes.h>
#include <weft/runtime/program.h>

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weft::nn {

struct RankedHead {
  std::string path;
  std::int64_t head = 0;
  double importance = 0;  ///< I_h, mean over the results that were added
  /// I_h over the l2 norm of its layer's (section 4.1: "normalize the importance scores by layer")
  double normalised = 0;
};

/// Averages what gate_importance(nn::heads(..)) publishes over the batches that are added:
///
///   const Step ranking = evaluation(loss) | gate_importance(nn::heads());
///   for (batches) importance.add(program.run(batch), ranking);
///   std::cout << importance;
class HeadImportance {
 public:
  /// UserError: the step publishes no importance of heads; the result is of another step.
  void add(const Result& result, const Step& step);

  /// The most important head first, by the normalised score; equal ones are ordered by path and head. UserError:
  /// nothing was added.
  std::vector<RankedHead> ranked() const;
  /// The last `count` of that list: what to mask or prune first.
  HeadSelections least(std::int64_t count) const;
  std::string str() const;
  /// [{"path", "head", "importance", "normalised"}], in that order.
  std::string json() const;

 private:
  std::map<std::pair<std::string, std::int64_t>, double> sums_;
  std::int64_t results_ = 0;
};
std::ostream& operator<<(std::ostream& out, const HeadImportance& importance);

}  // namespace weft::nn
