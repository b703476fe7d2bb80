// What a user's function of a score computes, as data: nodes that attention carries in an attribute, so that its
// kernels run them on blocks of scores (ops/attention/score_program.h) and its plain definition on all of them. Private
// to ops/. Not in <weft/weft.h>.
#pragma once

#include <weft/ops/attention/attention.h>
#include <weft/runtime/region/region.h>

#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// A pointwise function of [batch, heads, time_q, time_k] scores and of what it captures. Its values are numbered as a
/// RowRegion's: first the inputs below, then captures, the cotangent if it has one, and the members' outputs.
class ScoreFunction : public Description {
 public:
  enum Input : int { score, batch, head, query, key, position, captures };

  /// A gradient of what is captured: output `output` of a derivative, one number for each score. Of a table the numbers
  /// belong to the elements that output `ids` names; -1: it is no table but broadcasts to the scores.
  struct CaptureGradient {
    int capture = 0, output = 0, ids = -1;
  };

  static constexpr std::size_t most_captures = 16;  ///< kernels keep a pointer to each on their stack

  RowRegion body;
  DType dtype = f32;  ///< of the scores when it was built
  int captured = 0;   ///< how many
  bool has_cotangent = false;
  std::vector<bool> tables;                ///< by capture: read through take() only
  std::vector<CaptureGradient> gradients;  ///< of a derivative, whose outputs are the score, its gradient, and these

  std::string str() const override { return body.str(); }
  bool same(const Description& other) const override;

  int inputs() const { return captures + captured + (has_cotangent ? 1 : 0); }
  /// Whether output 0 depends on an input.
  bool reads(int input) const;
  /// Attributes of a member, for scores of those extents and that dtype.
  Attributes attributes(const RowRegion::Member& member, DType score, const std::vector<std::int64_t>& extents) const;
  /// Types of all values for blocks of rows x columns scores (each axis of extent 1, or all of it), from those of the
  /// captures; UserError where a member is not pointwise.
  std::vector<TensorType> block_types(DType score, const std::vector<TensorType>& captures, std::int64_t rows,
                                      std::int64_t columns) const;
  /// The nodes over `inputs` of whole scores; gives the outputs.
  Values build(Graph graph, const Values& inputs) const;
};

/// The extents of scores, and their dtype.
struct ScoreType {
  Dim batch, heads, time_q, time_k;
  DType dtype = f32;
};

struct TracedScore {
  std::shared_ptr<const ScoreFunction> function;  ///< null: there was a problem, which the graph reports
  Values captures;                                ///< of the outer graph
};

/// Runs `function` in a nested graph of `outer`. `result`: the dtype that it must give. Problems go to `outer`.
TracedScore trace_score(const Graph& outer, const ScoreType& type, DType result,
                        const std::function<Value(const AttentionScore&)>& function, std::source_location where);

/// {score, d_score, d_captures...} from the inputs and the cotangent of the score; of those captures that are `wanted`.
/// `types`: of the captures.
std::shared_ptr<const ScoreFunction> derivative(const ScoreFunction& function, const ScoreType& type,
                                                const std::vector<TensorType>& types, const std::vector<bool>& wanted,
                                                const Backward& walk);

/// The function of an attribute; null if there is none.
const ScoreFunction* score_function(const Attributes& attributes, std::string_view name);

}  // namespace weft
