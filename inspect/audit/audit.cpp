#include <weft/inspect/audit/audit.h>

#include <weft/inspect/audit/parts.h>

#include <algorithm>
#include <map>

namespace weft {
namespace {

// Where the paths of a parameter without a gradient end.
std::string cut_of(const Audit& audit, const Audit::Row& row) {
  std::string text;
  for (const std::size_t f : row.cuts)
    text += fmt::format("{}cut at {} ({})", text.empty() ? "" : "; ", audit.findings[f].path, audit.findings[f].where);
  for (const Finding& finding : audit.findings)
    if (finding.kind == Finding::Kind::unused_parameter && finding.path == row.path) return "the loss does not use it";
  return text.empty() ? "no gradient reaches it" : text;
}

void count_ops(const Step& step, Audit& audit) {
  std::map<std::string, Audit::Use> uses;
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (node.op->traits.source) continue;
    Audit::Use& use = uses[node.op->name];
    use.op = node.op->name;
    if (node.provenance.pass.empty()) ++use.forward;
    else if (node.provenance.pass == "gradient") ++use.backward;
    else ++use.other;
    ++audit.nodes;
  }
  for (const auto& [name, use] : uses) audit.ops.push_back(use);
  std::ranges::stable_sort(audit.ops, [](const Audit::Use& a, const Audit::Use& b) {
    return a.forward + a.backward + a.other > b.forward + b.backward + b.other;
  });
}

}  // namespace

Audit audit(const Step& step) {
  Audit result;
  result.differentiated = step.facts.contains("gradients");
  for (const Value& parameter : step.graph.parameters()) {
    Audit::Row row{.path = parameter.node().name, .type = parameter.type(), .cut = {}};
    const bool trained = std::ranges::find(step.parameters, parameter) != step.parameters.end();
    row.frozen = result.differentiated && !trained;
    row.reached = step.gradient_of(parameter) != nullptr;
    row.updated = std::ranges::any_of(step.updates, [&](const Update& update) { return update.state == parameter; });
    result.total += parameter.type().count();
    if (row.reached) result.trained += parameter.type().count();
    result.parameters.push_back(std::move(row));
  }
  find_paths(step, result);
  find_idle_parameters(step, result);
  find_unused_outputs(step, result);
  find_duplicates(step, result);
  find_mixed_batch(step, result);
  for (Audit::Row& row : result.parameters)
    if (!row.reached && !row.frozen) row.cut = cut_of(result, row);
  count_ops(step, result);
  result.history = step.history();
  for (const Fetch& fetch : step.fetches) result.published.push_back(fetch.name);
  return result;
}

bool Audit::complete() const {
  const bool optimized = std::ranges::any_of(parameters, [](const Row& row) { return row.updated; });
  return std::ranges::all_of(
      parameters, [&](const Row& row) { return row.frozen || (row.reached && (row.updated || !optimized)); });
}

bool Audit::healthy() const {
  return std::ranges::none_of(findings, [](const Finding& f) { return f.severity == Finding::Severity::error; });
}

std::vector<Finding> Audit::of(Finding::Kind kind) const {
  std::vector<Finding> found;
  std::ranges::copy_if(findings, std::back_inserter(found), [&](const Finding& f) { return f.kind == kind; });
  return found;
}

const Audit::Row& Audit::row(std::string_view path) const {
  const auto at = std::ranges::find(parameters, path, &Row::path);
  if (at != parameters.end()) return *at;
  std::string first;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, parameters.size()); ++i)
    first += (i == 0 ? "" : ", ") + parameters[i].path;
  WEFT_FAIL("the audit has no parameter '{}'; hint: the first of {} are {}", path, parameters.size(), first);
}

}  // namespace weft
