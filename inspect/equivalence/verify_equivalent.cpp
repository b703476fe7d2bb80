#include <weft/inspect/equivalence/verify_equivalent.h>

#include <weft/inspect/equivalence/compare.h>
#include <weft/inspect/equivalence/widen.h>
#include <weft/runtime/lower.h>

#include <algorithm>

namespace weft {
namespace {

std::string chain(const Step& step) {
  std::string text;
  for (const std::string& name : step.history()) text += (text.empty() ? "" : " | ") + name;
  return text.empty() ? "a step without transforms" : text;
}

void expect_same_sources(const std::vector<Value>& before, const std::vector<Value>& after, const char* what) {
  auto find = [](const std::vector<Value>& values, const Value& wanted) {
    return std::ranges::find_if(values, [&](const Value& value) { return value.name() == wanted.name(); });
  };
  for (const auto& [here, there, which] : {std::tuple(&before, &after, "second"), std::tuple(&after, &before, "first")})
    for (const Value& value : *here) {
      const auto at = find(*there, value);
      WEFT_CHECK(at != there->end(),
                 "steps over different graphs cannot be compared: the {} '{}' ({}) is not in the {}; hint: build both "
                 "from one "
                 "loss: before = training_step(loss) | ..., after = before | ...",
                 what, value.name(), str(value.node().where), which);
      WEFT_CHECK(
          at->type() == value.type(),
          "steps over different graphs cannot be compared: the {} '{}' is {} ({}) in one and {} ({}) in the other",
          what, value.name(), value.type().str(), str(value.node().where), at->type().str(), str(at->node().where));
    }
}

void expect_comparable(const Step& before, const Step& after, const EquivalenceOptions& options) {
  before.graph.check();
  after.graph.check();
  WEFT_CHECK(options.runs >= 1, "verify_equivalent needs at least 1 run, got {}", options.runs);
  WEFT_CHECK(options.float64 || options.own_types,
             "verify_equivalent was told to run neither float64 nor the steps' own types");
  expect_same_sources(before.graph.inputs(), after.graph.inputs(), "input");
  expect_same_sources(before.graph.parameters(), after.graph.parameters(), "parameter");
  for (const Step* step : {&before, &after})
    WEFT_CHECK(!step->gradients.empty(),
               "verify_equivalent compares training steps: {} has no gradients; hint: training_step(loss)",
               chain(*step));
}

NamedTensors widened(const NamedTensors& feeds) {
  NamedTensors result;
  for (const auto& [name, tensor] : feeds)
    result.emplace_back(name, is_float(tensor.dtype()) ? tensor.cast(f64) : tensor);
  return result;
}

// The node at which to look where no node before it differs: of the first quantity that failed.
std::string node_of(const Step& before, const Step& step, const Equivalence::Row& row) {
  Value value;
  if (row.kind == "published" && step.has_fetch(row.name)) value = step.fetch(row.name);
  if (row.kind == "gradient")
    for (const Gradient& gradient : step.gradients)
      if (gradient.parameter.node().name == row.name) value = gradient.value;
  if (row.kind == "cell" || row.kind == "loss scale")
    for (const Update& update : step.updates)
      if (update.state.node().name == row.name) value = update.value;
  if (!value.valid()) return "";
  const Node& node = value.node();
  std::string text = fmt::format("{} [{}] ({}){}", value.name(), node.op->name, str(node.where),
                                 node.provenance.pass.empty() ? "" : ", made by " + node.provenance.pass);
  if (const std::string through = inserted_before(before, step, value); !through.empty())
    text += "; through " + through;
  return text;
}

bool has_folded(const Step& step) {
  return std::ranges::any_of(step.graph.ids(), [&](NodeId id) {
    const Node& node = step.graph.node(id);
    return node.provenance.pass == "fold_constants" && is_float(node.types.front().dtype);
  });
}

// The two sides in one kind of types.
struct Sides {
  Trial before, after;
  Sides(const Step& a, const Step& b, std::uint64_t seed) : before(a, seed), after(b, seed) {}
};

}  // namespace

Equivalence verify_equivalent(const Step& before, const Step& after, const EquivalenceOptions& options) {
  expect_comparable(before, after, options);
  const Claims claims = claims_between(before, after, options);
  Equivalence result;
  result.before = chain(before);
  result.after = chain(after);
  result.claims = claims.lines;
  const Step one = observed(before), other = observed(after);
  Comparison comparison(claims, options, one, result);
  const bool narrow = has_narrow_types(one) || has_narrow_types(other);
  std::optional<Sides> own, twin;
  // A transform that lowers its step (checkpoint) has computed constants in narrow types: then the other side does so
  // too.
  const bool folded = has_folded(one) != has_folded(other);
  auto wide = [&](const Step& step) { return narrow ? widen(folded ? lower(step) : step) : step; };
  if (options.float64 || !narrow) twin.emplace(wide(one), wide(other), options.seed);
  if (options.own_types && narrow) own.emplace(one, other, options.seed);

  for (std::int64_t run = 0; run < options.runs && result.passed(); ++run) {
    const NamedTensors feeds = options.feeds
                                   ? options.feeds(run)
                                   : random_feeds(before.graph, run, {options.seed, options.integers, options.padding});
    const NamedTensors wide_feeds = widened(feeds);
    Seen twins, owns;
    if (twin) {
      // A change of meaning takes the cells elsewhere: both start each run from the same ones.
      if (claims.changes) twin->after.take_cells(twin->before.store(), twin->before.step());
      twins.before = twin->before.run(wide_feeds);
      twins.after = twin->after.run(wide_feeds);
    }
    if (own) {
      if (twin) own->before.take_cells(twin->before.start(), twin->before.step());
      if (twin || claims.changes)
        own->after.take_cells(twin ? twin->before.start() : own->before.store(), own->before.step());
      owns.before = own->before.run(feeds);
      owns.after = own->after.run(feeds);
    }
    const Seen* exact = twin ? &twins : nullptr;
    if (twin) comparison.compare(run, twins, twin->before, twin->after, own ? &owns : nullptr, true);
    if (own) comparison.compare(run, owns, own->before, own->after, exact, false);
    ++result.runs;
    result.skipped += twin ? !twins.before.finite : !owns.before.finite;
    if (!result.passed() && options.find_first) {
      const bool in_twin = result.failures.front().twin;
      Sides& sides = in_twin ? *twin : *own;
      const double coarse = bounds::spread_of_nodes * unit_roundoff(claims.rounds_to == f64 ? f32 : claims.rounds_to);
      result.first = first_divergence(sides.before.step(), sides.after.step(), feeds_of(in_twin ? wide_feeds : feeds),
                                      {.relative = claims.exact ? 0
                                                   : in_twin    ? bounds::unmeasured_in_twin
                                                                : coarse,
                                       .expected_store = &sides.before.start(),
                                       .found_store = &sides.after.start(),
                                       .updates = !claims.changes});
      result.first_quantity = node_of(sides.before.step(), sides.after.step(), result.failures.front());
    }
  }
  comparison.finish();
  return result;
}

}  // namespace weft
