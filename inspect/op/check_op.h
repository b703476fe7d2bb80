// All that can be checked of an op from its definition and samples alone: the library's ops and a user's get the same.
//
//   shape rule      the samples build; the definition's bad samples fail with their message
//   forward         every dtype with a kernel against the plain definition, of a basic op against its reference, in f64
//   gradient        central differences and slope test, in f64
//   backward        against the gradient of the plain definition in f64 (a basic op: of its f64 kernels)
//   second order    the same for the gradient
//   refusals        ids and numbers out of range are refused only by an op that says so (.traits.refuses)
//   one value twice as two operands of one type it gives what two operands with the same numbers give
//   large numbers   an offset or factor of 1e4 to 1e8 that changes no gradient (output) costs no digits of f32
//   many elements   outputs and gradients of f16 hold over 70,000 elements
//   range           many drawn numbers lie where .range says
//   batch           at_batch(n) gives the whole run's slices, or parts that sum to it
//                   (a random op also as n micro-batches: it draws by row_offset)
//   memory          the kernel writes its outputs and workspace and nothing else, and reads what it was given
//   rows            of a pointwise or row-wise op each row alone has the bits of the whole
//   evaluation      the evaluation rule gives values of the node's types
//   terms           outputs are linear in what .terms says, 0 where a factor of each term is, and change with nothing
//                   that .terms closes; what .adds says is added up goes to one element, as it is
//   units           of each operand in .units, an index changes its own index of some output alone
//   wide operands   the op takes them in f32 beside low ones
//   threads         1, 2, 3, 4 threads give the same bits
//   recompute       running again, and in place or not, gives the same bits
//   NaN             in an element that matters it shows in an output
//   shapes          the same with other extents: grown, 1 and 0, where the shape rule takes them
#pragma once

#include <weft/graph/op_def.h>

#include <source_location>
#include <string>
#include <vector>

namespace weft {

struct OpCheck {
  struct Line {
    std::string check;  ///< "forward f32", ...
    int sample = -1;
    bool passed = true;
    std::string message;
  };
  std::string op;
  std::vector<Line> lines;
  double worst_f32 = 0;  ///< largest error of the f32 forward, relative to the larger of 1 and the largest element
  double worst_f64 = 0;
  int variants = 0;  ///< samples that were checked with other extents too

  bool passed() const;
  std::string str() const;  ///< what failed, one line each; "" when all passed
};

/// How much is checked.
enum class OpCheckDepth {
  full,
  /// What a build with sanitizers needs, in a tenth of the time: of every sample memory, forward and backward in f32
  /// and in one two-byte type, and of f32 other extents; bad inputs. Without finite differences, second order, f64,
  /// batch, rows, threads, recompute and NaN.
  memory,
};

/// `where` stands for the user's line in messages.
OpCheck check_op(const OpDef& op, std::source_location where = std::source_location::current());
OpCheck check_op(const OpDef& op, OpCheckDepth depth, std::source_location where = std::source_location::current());

}  // namespace weft
