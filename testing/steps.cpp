#include <weft/testing/steps.h>

#include <weft/graph/sources.h>
#include <weft/inspect/divergence/first_divergence.h>
#include <weft/inspect/divergence/whole_values.h>
#include <weft/inspect/equivalence/trial.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/fetch.h>
#include <weft/testing/local_gradients.h>
#include <weft/testing/values.h>

#include <algorithm>
#include <cmath>

namespace weft::testing {
namespace {

bool has(const Tensor& tensor, bool (*what)(double)) {
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    if (what(tensor.at(i))) return true;
  return false;
}
bool is_nan(double x) { return std::isnan(x); }
bool is_bad(double x) { return !std::isfinite(x); }

// Results of a run that people look at: what is published, gradients, cells that change.
std::vector<Fetch> looked_at(const Step& step) {
  std::vector<Fetch> all;
  for (const Fetch& fetch : step.fetches)
    all.push_back({fetch.name.starts_with(gradient_fetch(""))
                       ? "the gradient of " + fetch.name.substr(gradient_fetch("").size())
                       : "the published " + fetch.name,
                   fetch.value});
  for (const Update& update : step.updates) all.push_back({"the update of " + update.state.name(), update.value});
  return all;
}

std::string node_str(const Graph& graph, const Node& node) {
  const std::string maker = node.provenance.pass.empty() ? "" : ", made by " + node.provenance.pass;
  const bool known = node.provenance.origin != no_node && graph.has(node.provenance.origin);
  const std::string origin = known && maker != "" ? " of " + graph.node(node.provenance.origin).name : "";
  return fmt::format("{} [{}] ({}){}{}", node.name, node.op->name, str(node.where), maker, origin);
}

bool is_constant(const Node& node) { return node.op == &constant_op() || node.op == &full_op(); }

// Every value that the bad result is made from, run once more.
std::string where_it_begins(const Step& step, const Value& result, const NamedTensors& feeds, const Store& start) {
  WholeValues values(step, "all_finite");
  const std::set<NodeId> on_way = made_from(step.graph, result);
  const std::vector<NodeId> ids(step.graph.ids().begin(), step.graph.ids().end());
  std::set<ValueRef> fetched;
  const auto name = [](ValueRef ref) { return fmt::format("all_finite {}.{}", ref.node, ref.output); };
  values.step().fetches.clear();
  for (const NodeId id : ids)
    for (std::uint32_t k = 0; on_way.contains(id) && k < step.graph.node(id).types.size(); ++k)
      if (is_float(step.graph.node(id).types[k].dtype) && values.is_read({id, k}))
        if (const Value value = values.of({id, k}); value.valid()) {
          values.step().set_fetch(name({id, k}), value);
          fetched.insert({id, k});
        }
  Store store = start.clone();
  Program program(values.step(), store);
  const Result run = program.run(feeds_of(feeds));

  const auto bad = [&](ValueRef ref, bool (*what)(double)) {
    return fetched.contains(ref) && has(run.tensor(name(ref)), what);
  };
  // What carries it to the result: an infinity that an op takes well (a mask) is not among it.
  std::set<NodeId> carries{result.ref().node};
  for (auto at = ids.rbegin(); at != ids.rend(); ++at)
    if (carries.contains(*at))
      for (const ValueRef ref : step.graph.node(*at).operands)
        if (ref.node != no_node && bad(ref, is_bad)) carries.insert(ref.node);
  const auto begins = [&](bool (*what)(double)) -> NodeId {
    for (const NodeId id : ids) {
      if (!carries.contains(id)) continue;
      const Node& node = step.graph.node(id);
      if (is_constant(node) && what == is_bad) continue;  // -inf of a mask: meant
      bool here = false;
      for (std::uint32_t k = 0; k < node.types.size(); ++k) here |= bad({id, k}, what);
      if (here &&
          std::ranges::none_of(node.operands, [&](ValueRef ref) { return ref.node != no_node && bad(ref, what); }))
        return id;
    }
    return no_node;
  };
  const auto describe = [&](NodeId id, const char* what) {
    const Node& node = step.graph.node(id);
    std::string text = fmt::format("\n  {} {}", what, node_str(step.graph, node));
    for (std::uint32_t k = 0; k < node.types.size(); ++k)
      if (fetched.contains({id, k})) text += "\n    gives " + range_str(run.tensor(name({id, k})));
    for (const ValueRef ref : node.operands) {
      if (ref.node == no_node) continue;
      const Value operand = step.graph.value(ref);
      text += fmt::format("\n    reads {} ({}): {}", operand.name(), str(operand.node().where),
                          fetched.contains(ref) ? range_str(run.tensor(name(ref))) : operand.type().str());
    }
    return text;
  };
  NodeId first = begins(is_bad);
  const NodeId nan = begins(is_nan);
  if (first == no_node && nan == no_node)  // nothing but a constant
    for (const NodeId id : ids)
      if (first == no_node && carries.contains(id) && is_constant(step.graph.node(id)) && bad({id, 0}, is_bad))
        first = id;
  std::string text;
  if (first != no_node) text += describe(first, "first not finite:");
  if (nan != no_node && nan != first) text += describe(nan, "first NaN:");
  return text.empty() ? "\n  no value of one run alone shows where" : text;
}

}  // namespace

Verdict all_finite(const Step& step, const RunOptions& options) {
  step.graph.check();
  const NamedTensors feeds = feeds_for(step.graph, options);
  const Step seen = step.gradients.empty() ? step : observed(step);
  const std::vector<Fetch> results = looked_at(seen);
  Step run = without_results(seen);
  for (std::size_t i = 0; i < results.size(); ++i)
    if (is_float(results[i].value.dtype())) run.set_fetch(fmt::format("{}", i), results[i].value);
  WEFT_CHECK(!run.fetches.empty(), "AllFinite: the step gives nothing of a floating type");
  Store store = store_for(run, options);
  const Store start = store.clone();
  Program program(run, store);
  const Result result = program.run(feeds_of(feeds));
  std::string text;
  std::size_t bad = 0;
  Value first;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::string name = fmt::format("{}", i);
    if (!run.has_fetch(name)) continue;
    const Verdict one = all_finite(result.tensor(name));
    if (one) continue;
    if (!first.valid()) first = results[i].value;
    if (++bad <= 3) text += fmt::format("\n  {}: {}", results[i].name, one.text);
  }
  if (bad == 0) return {true, fmt::format("{} results are finite", run.fetches.size())};
  return {false, fmt::format("{} of {} results are not finite:{}{}{}", bad, run.fetches.size(), text,
                             bad > 3 ? "\n  ..." : "", where_it_begins(seen, first, feeds, start))};
}

namespace {

struct Differing {
  std::string what, text;
};

void compare(const char* kind, const std::map<std::string, Tensor>& found,
             const std::map<std::string, Tensor>& expected, std::int64_t& compared, std::vector<Differing>& differing) {
  for (const auto& [name, tensor] : expected) {
    const auto at = found.find(name);
    if (at == found.end()) continue;
    ++compared;
    if (const Verdict one = bits_agree(at->second, tensor); !one)
      differing.push_back({fmt::format("{} '{}'", kind, name), one.text});
  }
}

}  // namespace

Verdict bits_agree(const Step& found, const Step& expected, const SameBitsOptions& options) {
  found.graph.check();
  expected.graph.check();
  WEFT_CHECK(options.runs >= 1, "SameBits needs at least 1 run, got {}", options.runs);
  const bool gradients = !found.gradients.empty() && !expected.gradients.empty();
  const auto seen = [&](const Step& step) { return gradients ? observed(step) : step; };
  const Step one = seen(expected), other = seen(found);
  RunOptions run{options.feeds, options.store, options.seed, options.integers, options.padding};
  Store expected_store = store_for(one, run), found_store = store_for(other, run);
  Program first(one, expected_store), second(other, found_store);
  std::int64_t compared = 0;
  for (int at = 0; at < options.runs; ++at) {
    run.seed = options.seed + static_cast<std::uint64_t>(at);
    const NamedTensors feeds = feeds_for(one.graph, run);
    const Store expected_start = expected_store.clone(), found_start = found_store.clone();
    const Result a = first.run(feeds_of(feeds)), b = second.run(feeds_of(feeds));
    std::map<std::string, Tensor> published[2], clean[2], cells[2];
    const auto gather = [&](int side, const Step& step, const Result& result, const Store& store) {
      for (const Fetch& fetch : step.fetches) {
        if (fetch.name.starts_with(gradient_fetch("")))
          clean[side][fetch.name.substr(gradient_fetch("").size())] = result.tensor(fetch.name);
        else published[side][fetch.name] = result.tensor(fetch.name);
      }
      for (const Update& update : step.updates) cells[side][update.state.name()] = store.tensor(update.state.name());
    };
    gather(0, one, a, expected_store);
    gather(1, other, b, found_store);
    std::vector<Differing> differing;
    compare("published", published[1], published[0], compared, differing);
    compare("gradient of", clean[1], clean[0], compared, differing);
    compare("cell", cells[1], cells[0], compared, differing);
    WEFT_CHECK(compared > 0, "SameBits: the steps publish nothing in common, and share no gradient and no cell");
    if (differing.empty()) continue;
    std::string text = fmt::format("run {}: {} of {} results differ", at, differing.size(), compared);
    for (std::size_t i = 0; i < std::min<std::size_t>(differing.size(), 3); ++i)
      text += fmt::format("\n  {}: {}", differing[i].what, differing[i].text);
    const auto where =
        first_divergence(one, other, feeds_of(feeds), {.expected_store = &expected_start, .found_store = &found_start});
    text += "\n  the first node that differs: " +
            (where ? where->str() : "none; it is made by nodes that one step has alone");
    return {false, text};
  }
  return {true, fmt::format("{} results of {} runs have the same bits", compared, options.runs)};
}

}  // namespace weft::testing
