// A training step as a value: one graph that holds forward, backward, clipping, optimizer and state updates as named
// nodes, and the lists that say which value is what. Transforms take a Step and give another; audit(step), plan(step)
// and verify(step) read it.
#pragma once

#include <weft/graph/fact.h>
#include <weft/graph/graph.h>
#include <weft/graph/user_line.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// One term of a loss: coefficient * sum / weight, or coefficient * sum where there is no weight (a term that does
/// not depend on the batch).
struct LossTerm {
  double coefficient = 1;
  Value sum;     ///< scalar: summed over the examples (cross_entropy: over the tokens that count)
  Value weight;  ///< scalar: what it is divided by (number of tokens); absent: the sum is not divided
};

/// loss = sum over terms of coefficient * sum / weight: what accumulation and data parallelism can split exactly. Any
/// other scalar can be trained as a term without weight; those transforms then refuse the step (UserError).
struct Loss {
  std::vector<LossTerm> terms;

  Loss() = default;
  Loss(LossTerm term) : terms{std::move(term)} {}  // NOLINT: implicit
  /// A scalar that is taken as it is.
  Loss(const Value& value) : terms{{1, value, {}}} {}  // NOLINT: implicit

  friend Loss operator+(Loss a, const Loss& b) {
    a.terms.insert(a.terms.end(), b.terms.begin(), b.terms.end());
    return a;
  }
  friend Loss operator*(double factor, Loss loss) {
    for (LossTerm& term : loss.terms) term.coefficient *= factor;
    return loss;
  }
  friend Loss operator*(Loss loss, double factor) { return factor * std::move(loss); }
};

/// What a gradient was multiplied or divided by, so that the first transform that reads it unscales it once.
struct GradientTags {
  bool scaled = false;            ///< multiplied by the loss scale
  bool weight_normalised = true;  ///< already divided by the weight of the loss
  bool finite_checked = false;
  bool clipped = false;
};

struct Gradient {
  Value parameter;
  Value value;
  GradientTags tags;
};

/// A value that a run gives back under a name: loss, grad_norm, rate, ...
struct Fetch {
  std::string name;
  Value value;
};

/// Settings of a dynamic loss scale (optim/loss_scale.h has the rule).
struct ScaleRule {
  double start = 1024, growth = 2, backoff = 0.5;
  std::int64_t window = 2000;  ///< steps in a row with finite gradients before it grows
  double least = 1, greatest = 65536;
};

/// By what the initial cotangents of the backward pass (Step::seeds) were multiplied.
struct LossScale {
  Value scale;    ///< f64 scalar: a state where it is dynamic, else a constant
  Value tracker;  ///< i64 scalar state: finite steps since the scale last changed; absent: the scale is static
  ScaleRule rule;
};

/// What a transform does to the mathematics.
enum class Claim { same_bits, rounding, changes_meaning };

/// The gradients of one run in double, row-major, by the path of their parameter; unscaled and divided by the weight of
/// the loss.
using GradientTable = std::map<std::string, std::vector<double>>;
/// The plain definition of a transform that changes gradients: from the gradients before it to those after it.
using GradientLaw = std::function<GradientTable(const GradientTable&)>;

/// A transform that was applied to a step, and its claim, which verify_equivalent checks.
struct Applied {
  std::string name;
  Claim claim = Claim::rounding;
  DType rounds_to = f64;    ///< narrowest type to which it newly rounds values; f64: the step's own types
  std::string change = {};  ///< of Claim::changes_meaning: what changes, for people
  GradientLaw law = {};     ///< of Claim::changes_meaning: its plain definition, where it changes gradients
  std::vector<Fact> needs = {}, forbids = {};  ///< as in Transform: for finding a right order
  std::vector<Fact> promises = {};             ///< facts that hold since then
};

/// What a value is to the step that holds it.
struct StepRole {
  enum class Kind : std::uint8_t {
    loss_sum,         ///< LossTerm::sum
    loss_weight,      ///< LossTerm::weight
    loss,             ///< Step::loss_value
    seed,             ///< one of Step::seeds
    parameter,        ///< one of Step::parameters
    fetch,            ///< Fetch::value
    state,            ///< Update::state
    update,           ///< Update::value
    taken,            ///< Step::taken
    due,              ///< Step::due
    gradient_weight,  ///< Step::gradient_weight
    scale,            ///< LossScale::scale
    scale_tracker,    ///< LossScale::tracker
    differentiated,   ///< Gradient::parameter
    gradient,         ///< Gradient::value
  };
  Kind kind;
  std::string_view name = {};  ///< of a fetch
  const Value* of = nullptr;   ///< of a gradient its parameter, of an update its state

  /// Whether it must survive every pass: a fetch, an updated state, its next value.
  bool is_root() const;
  /// Whether a run has one such value, whatever the number of micro-batches.
  bool is_once_a_step() const;
  /// Whether it is a gradient, or needed by what reads the gradients later.
  bool is_of_gradients() const;
  std::string str() const;  ///< "the gradient of 'w'"
};

struct Step {
  // Compiled once, in step.cpp, so that no user's file compiles copies and destructors of so many members.
  Step();
  Step(const Step&);
  Step(Step&&) noexcept;
  Step& operator=(const Step&);
  Step& operator=(Step&&) noexcept;
  ~Step();

  Graph graph;
  Loss loss;
  Value loss_value;                 ///< the scalar whose gradient is taken
  std::vector<Value> seeds;         ///< initial cotangents: d loss / d sum of each term, with which the backward
                                    ///< pass starts; loss scaling and accumulation act on them
  std::vector<Value> parameters;    ///< trained ones, in build order
  std::vector<Gradient> gradients;  ///< one for each parameter that the loss reaches
  /// state := value when a run ends. A step may replace updates or leave them out (evaluation does). One that was given
  /// by Graph::update() stays in the graph until a step is made of the graph or goes through a transform
  /// (take_updates).
  std::vector<Update> updates;
  std::vector<Fetch> fetches;
  Value taken;            ///< bool: whether this run's update is taken (all gradients are finite, and `due`); where
                          ///< false, parameters and optimizer states keep their bits; absent: always
  Value due;              ///< bool: whether this run ends an accumulation of gradients over several runs, so that the
                          ///< update is due; absent: each run does
  Value gradient_weight;  ///< scalar by which gradients without the tag weight_normalised are to be divided
  std::optional<LossScale> loss_scale;  ///< by which gradients with the tag scaled are to be divided
  std::int64_t micro_batches = 1;       ///< how often a run executes the nodes of Phase::micro
  std::vector<Applied> applied;         ///< the transforms, in order
  std::set<Fact> facts;                 ///< what they promised: fact::gradients, fact::clipped, ..., or a user's own
  bool lowered = false;

  /// Where a value of an earlier graph is in this step; UserError that names the transform that removed it.
  Value find(const Value& value) const { return graph.find(value); }
  /// The fetch of that name; UserError that lists the names there are.
  Value fetch(std::string_view name) const;
  bool has_fetch(std::string_view name) const;
  void set_fetch(std::string_view name, const Value& value);
  const Gradient* gradient_of(const Value& parameter) const;
  /// Names of the transforms, in order.
  std::vector<std::string> history() const;
  /// Visits every value that the step holds, absent ones too, with its role. All code that handles every value of a
  /// step (moves them to another graph, verifies, keeps or prints them) uses this: a new field is added to the list in
  /// step.cpp and nowhere else.
  void each_value(const std::function<void(Value&, const StepRole&)>& visit);
  void each_value(const std::function<void(const Value&, const StepRole&)>& visit) const;
  /// The values that are present and whose role `chosen` accepts.
  std::vector<Value> values(const std::function<bool(const StepRole&)>& chosen) const;
  /// Every value that must survive a pass: fetches, updated states and their next values.
  std::vector<Value> roots() const;
  /// Moves the updates that were given to the graph (Graph::update) to the step.
  void take_updates();
  /// The same step over `other`, a graph made from this one, in which Graph::find() gives the values.
  Step over(const Graph& other) const;
};

/// A function Step -> Step, with the facts that it needs, forbids and promises: a wrong order cannot be built.
struct Transform {
  std::string name;
  Claim claim = Claim::rounding;
  std::vector<Fact> needs = {};     ///< facts that must hold, such as fact::gradients (optim/facts.h)
  std::vector<Fact> forbids = {};   ///< facts that must not hold yet, such as fact::optimized
  std::vector<Fact> promises = {};  ///< facts that hold afterwards; one of your own is a string
  std::function<Step(Step)> apply;  ///< gets a copy of the step, over a copy of the graph
  DType rounds_to = f64;            ///< these three: see Applied
  std::string change = {};
  GradientLaw law = {};
  std::source_location where = std::source_location::current();  ///< for messages: where this record is written
  /// The user's call of the function that made it, if that opens a UserLine (graph/user_line.h), as all of weft's do:
  /// while the transform is applied, messages begin with that line and nodes report it.
  std::optional<std::source_location> called = UserLine::current();
};

/// Applies the transform: checks the order (the error names both transforms and the right order), copies the graph,
/// applies, verifies the result. Pure: `step` stays as it is. Updates that the transform gives to the graph
/// (Graph::update) become the step's. UserError, with the transform's name and line, if it throws or gives a step that
/// is not consistent (graph/verify.h).
Step operator|(const Step& step, const Transform& transform);

}  // namespace weft
