#include <weft/testing/dump_divergence.h>

#include <weft/graph/glob.h>
#include <weft/inspect/divergence/compare.h>
#include <weft/inspect/divergence/one_run.h>
#include <weft/inspect/divergence/whole_values.h>
#include <weft/optim/fetch.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <set>

namespace weft {
namespace {

std::string joined(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > most ? fmt::format("{}, ... ({} in all)", text, names.size()) : text;
}

// Which value stands for which tensor.
struct Pairing {
  std::map<ValueRef, std::string> tensor_of;
  std::set<std::string> taken;
  std::vector<std::string> only_in_step;

  void add(ValueRef ref, const std::string& name) {
    const auto [at, added] = tensor_of.emplace(ref, name);
    WEFT_CHECK(added || at->second == name, "compare_with_dump: one value stands for '{}' and for '{}' of the dump",
               at->second, name);
    WEFT_CHECK(!added || taken.insert(name).second, "compare_with_dump: '{}' of the dump is to be two values", name);
  }
};

Pairing pair_up(const Step& step, const Safetensors& dump, const DumpOptions& options) {
  Pairing pairs;
  for (const auto& [name, value] : options.values) {
    if (dump.tensors.contains(name)) pairs.add(step.find(value).ref(), name);
    else pairs.only_in_step.push_back(fmt::format("{} (for '{}')", step.find(value).name(), name));
  }
  for (const auto& [name, path] : options.names) {
    WEFT_CHECK(count_stars(name) == count_stars(path),
               "compare_with_dump: '{}' and '{}' have not the same number of stars", name, path);
    bool any = false;
    for (const NodeId id : step.graph.ids())
      for (std::uint32_t k = 0; k < step.graph.node(id).types.size(); ++k) {
        const std::string mine = step.graph.value(id, k).name();
        const auto stars = stars_of(path, mine, "./");
        if (!stars) continue;
        any = true;
        const std::string wanted = fill_stars(name, *stars);
        if (dump.tensors.contains(wanted)) pairs.add({id, k}, wanted);
        else pairs.only_in_step.push_back(fmt::format("{} (for '{}')", mine, wanted));
      }
    if (!any) pairs.only_in_step.push_back(fmt::format("'{}' (for '{}') matches no value", path, name));
  }
  for (const auto& [name, tensor] : dump.tensors) {
    if (pairs.taken.contains(name)) continue;
    const Value value = step.graph.find_name(name);
    if (value.valid() && !pairs.tensor_of.contains(value.ref())) pairs.add(value.ref(), name);
  }
  return pairs;
}

std::vector<std::string> paths_of(const Graph& graph) {
  std::vector<std::string> paths;
  for (const NodeId id : graph.ids())
    if (graph.node(id).provenance.pass.empty()) paths.push_back(graph.node(id).name);
  return paths;
}

}  // namespace

DumpComparison compare_with_dump(const Step& step, std::span<const Feed> feeds, const Safetensors& dump,
                                 const DumpOptions& options) {
  step.graph.check();
  const Pairing pairs = pair_up(step, dump, options);
  DumpComparison result;
  result.only_in_step = pairs.only_in_step;
  std::vector<std::string> all;
  for (const auto& [name, tensor] : dump.tensors) {
    all.push_back(name);
    if (!pairs.taken.contains(name)) result.only_in_dump.push_back(name);
  }
  WEFT_CHECK(!pairs.tensor_of.empty(),
             "compare_with_dump: no value of the step is in the dump; the dump has {}; the step has {}"
             "; hint: .names = {{{{\"h.*.ln_1\", \"decoder/*/norm_1\"}}}}",
             joined(all, 12), joined(paths_of(step.graph), 24));

  WholeValues values(step, "compare_with_dump");
  values.step() = without_results(values.step());
  const std::vector<NodeId> ids(step.graph.ids().begin(), step.graph.ids().end());
  std::string faults;  // of shapes
  for (const auto& [ref, name] : pairs.tensor_of) {
    const Value whole = values.of(ref), value = step.graph.value(ref);
    if (!whole.valid()) {
      result.only_in_step.push_back(
          fmt::format("{} (for '{}': a run has its last micro-batch's alone)", value.name(), name));
      continue;
    }
    const Tensor& tensor = dump.tensors.at(name);
    if (tensor.extents() != whole.shape().extents())
      faults += fmt::format("\n  '{}' of the dump is {}, {} ({}) is {}", name, tensor.type_str(), value.name(),
                            str(value.node().where), whole.type().str());
    values.step().set_fetch(name, whole);
  }
  WEFT_CHECK(faults.empty(),
             "compare_with_dump: shapes differ{}\nhint: bring the tensors of the dump to the step's layout "
             "where the dump is written, as in x.transpose(1, 2).contiguous()",
             faults);
  const Store store = options.store != nullptr ? options.store->clone() : Store(step, {.seed = options.seed});
  const OneRun run(values.step(), store, feeds);

  const Allowance allowance{options.relative, options.absolute, options.ulps};
  for (const NodeId id : ids)
    for (std::uint32_t k = 0; k < step.graph.node(id).types.size(); ++k) {
      const auto at = pairs.tensor_of.find({id, k});
      if (at == pairs.tensor_of.end() || !values.step().has_fetch(at->second)) continue;
      const Tensor& expected = dump.tensors.at(at->second);
      const Tensor found = run.tensor(at->second);
      const Node& node = step.graph.node(id);
      DumpComparison::Row row{.name = at->second, .path = step.graph.value(id, k).name()};
      std::optional<Divergence> differs = divergence_of(expected, found, allowance);
      const std::optional<Divergence> any = divergence_of(expected, found, {});
      row.passed = !differs;
      row.error = any ? any->error : 0;
      row.bound = differs ? differs->bound : allowance.absolute + allowance.relative * max_abs(expected);
      if (differs && !result.first) {
        differs->path = row.path;
        differs->op = node.op->name;
        differs->where = str(node.where);
        differs->pass = node.provenance.pass;
        differs->origin = row.name;
        differs->sides = "of the dump";
        result.first = differs;
      }
      result.rows.push_back(std::move(row));
    }
  return result;
}

std::string DumpComparison::str() const {
  const auto failed = std::ranges::count_if(rows, [](const Row& row) { return !row.passed; });
  std::string text = failed == 0 ? fmt::format("{} values agree with the dump", rows.size())
                                 : fmt::format("{} of {} values differ from the dump; the first: {}", failed,
                                               rows.size(), first->str());
  std::size_t width = 4;
  for (const Row& row : rows) width = std::max(width, row.path.size());
  for (const Row& row : rows)
    text += fmt::format("\n  {} {:<{}}  {:<9.3g} allowed {:<9.3g} '{}'", row.passed ? "  " : "NO", row.path, width,
                        row.error, row.bound, row.name);
  if (!only_in_dump.empty()) text += "\n  only in the dump: " + joined(only_in_dump, 24);
  if (!only_in_step.empty()) text += "\n  only in the step: " + joined(only_in_step, 24);
  return text;
}

std::ostream& operator<<(std::ostream& out, const DumpComparison& comparison) { return out << comparison.str(); }

}  // namespace weft
