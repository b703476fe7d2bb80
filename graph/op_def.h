// The definition of an op: one record that holds everything weft knows of it. The library's ops and a user's have the
// same form:
//
//   const OpDef& relu_op() {
//     static const OpDef op{.name = "relu", .law = "y = max(x, 0)", .infer = same_as_input, ...};
//     return op;
//   }
//
// Registering an op (graph/registry.h) creates its tests: they loop over the samples.
#pragma once

#include <weft/graph/attributes.h>
#include <weft/graph/backward.h>
#include <weft/graph/batch_state.h>
#include <weft/graph/value.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

class KernelContext;  // runtime/kernel.h
struct OpDef;

/// What a rule sees of a node: attributes and types. An absent operand has no type: ask has(i).
struct OpView {
  const OpDef& op;
  const Attributes& attributes;
  std::span<const TensorType* const> in;  ///< null: the operand is absent
  std::span<const TensorType> out;        ///< empty while the shape rule runs

  int inputs() const { return static_cast<int>(in.size()); }
  bool has(int i) const { return i >= 0 && i < inputs() && in[static_cast<std::size_t>(i)] != nullptr; }
  const TensorType& type(int i) const {
    if (!has(i)) no_operand(i);
    return *in[static_cast<std::size_t>(i)];
  }
  const Shape& shape(int i) const { return type(i).shape; }
  const TensorType& out_type(int i) const {
    if (i < 0 || i >= static_cast<int>(out.size())) no_output(i);
    return out[static_cast<std::size_t>(i)];
  }
  [[noreturn]] void no_operand(int i) const;
  [[noreturn]] void no_output(int i) const;
};

/// Types of the outputs from types of the operands; throws UserError on a misfit.
using InferRule = std::function<std::vector<TensorType>(const OpView&)>;
/// Where the batch lies in each output, given where it lies in each operand.
using BatchRule = std::function<std::vector<BatchState>(const OpView&, std::span<const BatchState>)>;
/// Builds the nodes of the gradient.
using BackwardRule = std::function<void(Backward&)>;

/// The op in terms of more basic ops: its definition, its test oracle, and what is differentiated when the op's own
/// backward has no backward.
struct Plain {
  Values in;  ///< absent operands are absent values
  const Attributes& attributes;
  std::span<const TensorType> out;
};
using PlainRule = std::function<Values(const Plain&)>;
/// The output of a basic op by its formula, in double, element by element: the test oracle of an op that has no plain
/// rule. From the row-major values of each operand (empty where it is absent) to those of the output.
using ReferenceRule = std::function<std::vector<double>(const OpView&, std::span<const std::vector<double>>)>;
/// The node as it is outside training (dropout gives back its input); null: the same node.
using EvaluationRule = std::function<Values(const Plain&)>;

/// Arithmetic operations and bytes moved by one run of a node.
struct Cost {
  double flops = 0;
  double bytes = 0;
};
using CostRule = std::function<Cost(const OpView&)>;

/// A kernel prepared for one node, whose shapes are known.
using BoundKernel = std::function<void(KernelContext&)>;

struct Kernel {
  DType dtype = f32;  ///< the type of operand 0 (of output 0 when there are no operands) that it serves
  BoundKernel (*bind)(const OpView&) = nullptr;
  void (*run)(KernelContext&) = nullptr;  ///< instead of bind, where nothing is worth preparing
  std::size_t (*workspace)(const OpView&, int threads) = nullptr;  ///< bytes; null: none
};

/// What mixed_precision may do with an op (optim/mixed_precision.h).
enum class Precision { follow, low, f32, widest };

/// In-place: `output` may overwrite the buffer of `operand` if nothing reads that later.
struct InPlace {
  int output = 0;
  int operand = 0;
};

struct Traits {
  bool pointwise = false;        ///< out[i] depends only on in[...][i], after broadcasting
  bool recomputable = true;      ///< may run twice: no side effects (random ops draw the same numbers again)
  bool random = false;           ///< reads the Philox stream in attribute "stream", where it has one
  bool source = false;           ///< input, parameter, state, constant: bytes come from outside
  bool view = false;             ///< output 0 shares operand 0's bytes, under another type
  bool cuts_gradient = false;    ///< its outputs carry no gradient on purpose (stop_gradient)
  bool per_micro_batch = false;  ///< depends on which micro-batch runs (ops/step/micro.h)
  bool gathers = false;          ///< reads a value of Phase::micro after each micro-batch, gives one of Phase::step
  bool cheap = true;             ///< worth recomputing rather than keeping
  bool guard = false;            ///< stands in the graph to refuse a run (UserError), not for its value
  /// Whether its kernel may refuse a run because of the values it reads (an id that is not there). Until all that may
  /// has run, nothing in the store changes. Not said: false of an op in the registry of the library's ops, else true.
  std::optional<bool> refuses = {};
  std::vector<InPlace> in_place = {};
  Precision precision = Precision::follow;
};

/// One operand of a sample: how to fill it.
struct SampleInput {
  enum class Fill { absent, normal, uniform, integers, booleans, extremes, ties };
  Fill fill = Fill::normal;
  std::vector<std::int64_t> extents = {};
  double low = 0, high = 1;  ///< uniform: [low, high); integers: {low, ..., high - 1}; normal: mean and deviation
  int batch_axis = -1;       ///< the axis that is the batch; -1: none
  bool smooth = true;        ///< false: not differentiated in gradient checks
  /// Instead of the dtype under test (f32, f64, bf16, f16 in turn; integers are i64).
  std::optional<DType> dtype = std::nullopt;
  /// f32 where the dtype under test is bf16 or f16, in this sample alone (OpDef::wide_operands: in every one).
  bool wide = false;
  SampleInput batched(int axis) const {
    SampleInput copy = *this;
    copy.batch_axis = axis;
    return copy;
  }
  SampleInput as(DType type) const {
    SampleInput copy = *this;
    copy.dtype = type;
    return copy;
  }
  SampleInput widened() const {
    SampleInput copy = *this;
    copy.wide = true;
    return copy;
  }
  SampleInput constant() const {
    SampleInput copy = *this;
    copy.smooth = false;
    return copy;
  }
};
namespace sample {
SampleInput absent();
SampleInput normal(std::vector<std::int64_t> extents, double mean = 0, double deviation = 1);
SampleInput uniform(std::vector<std::int64_t> extents, double low, double high);
SampleInput integers(std::vector<std::int64_t> extents, std::int64_t low, std::int64_t high);  ///< i64
SampleInput booleans(std::vector<std::int64_t> extents);
SampleInput ties(std::vector<std::int64_t> extents);      ///< whole numbers from -3 to 3, each often, as floats
SampleInput extremes(std::vector<std::int64_t> extents);  ///< +-inf, NaN, denormals, +-1e4, zeros among normals
}  // namespace sample

struct Sample {
  std::vector<SampleInput> inputs = {};
  Attributes attributes = {};
  /// In shapes that are attributes, the batch extent is named "batch" (Dim::named).
  bool gradient = true;  ///< whether finite differences make sense here
};

/// A call that must fail, and a part of its message.
struct BadSample {
  std::vector<TensorType> inputs = {};
  Attributes attributes = {};
  std::string message = {};
};

/// Whether a node, by its attributes and types, works row by row. A row is what lies along the last axis of operand 0;
/// each operand of operand 0's rank and leading extents is read, and each output written, row r for row r alone; other
/// operands are read whole by every row; numbers are drawn by row. An output may lack the last axis or have extent 1
/// there.
using RowRule = bool (*)(const OpView&);
/// Which outputs may overwrite which operands, where that depends on the node.
using InPlaceRule = std::function<std::vector<InPlace>(const OpView&)>;

/// One term of an output: an output that has terms is their sum. For y = f(x w1^T) w2^T + b they are {.factors = {2},
/// .inner = {{0, 1}}} and {.factors = {3}}. An absent operand is left out of a product; a term of absent operands alone
/// does not exist.
struct Term {
  int output = 0;
  /// Operands in each of which the term is linear, with the others held fixed: it is 0 where one of them is 0.
  std::vector<int> factors = {};
  /// Products of operands on which the rest of the term depends, in any form: an operand has no effect here once each
  /// product that contains it has another factor that is 0.
  std::vector<std::vector<int>> inner = {};
  /// The operand that the term sums; -1: none. Each of its elements is added to one element of the output, as it is
  /// except for its sign, or clipped towards 0; other floating operands of the term are scalars, of a pointwise op.
  int adds = -1;
};
using TermRule = std::function<std::vector<Term>(const OpView&)>;

/// The axis of an operand along which its units (neurons) lie: rows of an [out, in] weight, elements of a bias or of a
/// gain. In some output one axis has an index for each unit, and what the unit changes lies there; each unit has a
/// gradient of its own.
struct UnitAxis {
  int operand = 0, axis = 0;
};
using UnitRule = std::function<std::vector<UnitAxis>(const OpView&)>;

/// Numbers y with low <= y < high; of a low equal to the high, that number.
struct Interval {
  double low = 0, high = 0;
};
/// Where the numbers that a node draws lie.
using RangeRule = std::function<Interval(const OpView&)>;

/// The attribute by which autodiff marks outputs of a recomputed node that nothing reads (bit k: output k). Its kernel
/// may leave them unwritten.
inline constexpr std::string_view unread_outputs = "unread";

struct Pass;

struct OpDef {
  std::string name;
  std::string law = {};                      ///< the formula, for people
  std::string source = {};                   ///< paper, section, equation
  std::vector<std::string> outputs = {"y"};  ///< if the last is "...", the shape rule may give any number more
  int least_inputs = 1, most_inputs = 1;     ///< most -1: any number
  InferRule infer = {};
  BatchRule batch = {};
  BackwardRule backward = {};    ///< null: the gradient of `plain`, or none: an error that names the op
  PlainRule plain = {};          ///< null: the op is basic
  ReferenceRule reference = {};  ///< of a basic op of one output
  EvaluationRule evaluation = {};
  /// The terms of the outputs; of an output without a term nothing is known. The gradient report (inspect/gradients/)
  /// finds from them gradients that are 0 because a parameter starts at 0, and gradients that cancel.
  TermRule terms = {};
  RangeRule range = {};  ///< of an op that draws numbers, given its shape as the attribute "shape"
  /// Of outputs {first, second}: they are one number, kept in two parts for its digits. Only their sum has a meaning;
  /// what reads them reads both, and each gets the cotangent of the sum.
  std::vector<std::array<int, 2>> parts = {};
  /// Operands whose common offset changes no gradient and yet costs its digits: a number between grows with it. Of all
  /// others check_op expects that it costs none.
  std::vector<int> offsets_cost = {};
  UnitRule units = {};  ///< of operands that have units; a pointwise op may leave it out (units_of)
  /// Operands that are f32 where the others are bf16 or f16: statistics, weights of a loss. Samples follow.
  std::vector<int> wide_operands = {};
  Traits traits = {};
  RowRule row_wise = nullptr;                         ///< null: never
  InPlaceRule in_place = {};                          ///< null: as Traits::in_place says
  std::string (*title)(const Attributes&) = nullptr;  ///< for people, where the name says too little; null: the name
  /// Lowering passes that a graph with this op goes through (runtime/lower.h): how it runs together with others. They
  /// keep the meaning; each has a name by which it can be switched off. The passes outlive the registry.
  std::vector<const Pass*> lowerings = {};
  CostRule cost = {};  ///< null: one operation per element, every operand and output moved once
  std::vector<Kernel> kernels = {};
  std::vector<Sample> samples = {};
  std::vector<BadSample> bad_samples = {};
  /// The operand that is added to output 0 after that is complete and rounded to its type, so with one more rounding;
  /// it has output 0's type and may be absent. -1: none. An op with one brings fuse_addend (ops/fuse/passes.h).
  int addend = -1;

  const Kernel* kernel(DType type) const;
};

/// The dtype by which a node's kernel is chosen.
DType kernel_dtype(const OpView& view);
Cost cost_of(const OpView& view);
std::vector<InPlace> in_place_of(const OpView& view);
/// OpDef::terms without absent operands and terms; of a view that declares none, its operand.
std::vector<Term> terms_of(const OpView& view);
/// OpDef::units; of a pointwise op that declares none, its operands of rank 1 that lie along the last axis of its
/// output.
std::vector<UnitAxis> units_of(const OpView& view);
/// Whether operand i stays f32 beside low ones.
bool is_wide(const OpDef& op, int i);
std::string title_of(const OpDef& op, const Attributes& attributes);

}  // namespace weft
