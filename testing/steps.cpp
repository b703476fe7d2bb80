#include <weft/testing/steps.h>

#include <weft/inspect/divergence/first_divergence.h>
#include <weft/inspect/divergence/first_nonfinite.h>
#include <weft/inspect/divergence/one_run.h>
#include <weft/inspect/equivalence/trial.h>
#include <weft/optim/fetch.h>
#include <weft/testing/values.h>

#include <algorithm>

namespace weft::testing {
namespace {

// Results of a run that people look at: what is published, gradients, cells that change.
std::vector<NamedResult> looked_at(const Step& step) {
  std::vector<NamedResult> all;
  auto add = [&](const Value& value, std::string what) {
    if (is_float(value.dtype())) all.push_back({value, std::move(what)});
  };
  for (const Fetch& fetch : step.fetches)
    add(fetch.value, fetch.name.starts_with(gradient_fetch(""))
                         ? "the gradient of " + fetch.name.substr(gradient_fetch("").size())
                         : "the published " + fetch.name);
  for (const Update& update : step.updates) add(update.value, "the update of " + update.state.name());
  return all;
}

}  // namespace

Outcome all_finite(const Step& step, const RunOptions& options) {
  step.graph.check();
  const NamedTensors feeds = feeds_for(step.graph, options);
  const Step seen = step.gradients.empty() ? step : observed(step);
  const std::vector<NamedResult> results = looked_at(seen);
  WEFT_CHECK(!results.empty(), "AllFinite: the step gives nothing of a floating type");
  Step wanted = without_results(seen);
  for (std::size_t i = 0; i < results.size(); ++i) wanted.set_fetch(fmt::format("{}", i), results[i].value);
  const Store start = store_for(wanted, options);
  const std::vector<Feed> given = feeds_of(feeds);
  const OneRun run(wanted, start, given);
  std::string text;
  std::size_t bad = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Outcome one = all_finite(run.tensor(fmt::format("{}", i)));
    if (!one && ++bad <= 3) text += fmt::format("\n  {}: {}", results[i].what, one.text);
  }
  if (bad == 0) return {true, fmt::format("{} results are finite", results.size())};
  if (bad > 3) text += "\n  ...";
  if (const auto origin = first_nonfinite(seen, results, start, given)) text += "\n" + origin->str();
  else text += "\n  no value of one run alone shows where\n";
  text.pop_back();
  return {false, fmt::format("{} of {} results are not finite:{}", bad, results.size(), text)};
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
    if (const Outcome one = bits_agree(at->second, tensor); !one)
      differing.push_back({fmt::format("{} '{}'", kind, name), one.text});
  }
}

}  // namespace

Outcome bits_agree(const Step& found, const Step& expected, const SameBitsOptions& options) {
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
