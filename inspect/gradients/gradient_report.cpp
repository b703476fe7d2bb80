#include <weft/inspect/gradients/gradient_report.h>

#include <weft/graph/taps.h>
#include <weft/graph/user_line.h>
#include <weft/inspect/audit/blocks.h>
#include <weft/inspect/gradients/forward_values.h>
#include <weft/inspect/gradients/gradient_verdicts.h>
#include <weft/inspect/gradients/parameter_use.h>
#include <weft/inspect/gradients/tap_gradients.h>
#include <weft/inspect/gradients/zero_start.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weft {
namespace {

constexpr std::string_view folder = "flow/";
constexpr double unknown = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

class Reader {
 public:
  Reader(const Result& result, const Step& step) : result_(result), step_(step), taps_(taps_of(step)) {}

  bool any() const {
    return std::ranges::any_of(taps_, [](const std::string& name) { return name.starts_with(folder); });
  }
  bool has(const std::string& name) const { return std::ranges::binary_search(taps_, std::string(folder) + name); }
  std::vector<double> numbers(const std::string& name) const {
    const std::string full = std::string(folder) + name;
    WEFT_CHECK(result_.has(full),
               "gradient_report: the result has no '{}', which the step publishes; hint: give the step that ran", full);
    return doubles(result_.tensor(full));
  }
  double factor() const { return numbers("factor").front(); }
  /// What stands behind "flow/KIND/" in the names of the step's taps, in their order.
  std::vector<std::string> paths(std::string_view kind) const {
    const std::string start = fmt::format("{}{}/", folder, kind);
    std::vector<std::string> paths;
    for (const Fetch& fetch : step_.fetches)
      if (fetch.name.starts_with(start) && std::ranges::binary_search(taps_, fetch.name))
        paths.push_back(fetch.name.substr(start.size()));
    return paths;
  }

 private:
  const Result& result_;
  const Step& step_;
  std::vector<std::string> taps_;
};

void read_f16(const std::vector<double>& counts, double zeros, const GradientThresholds& thresholds,
              GradientReport::Parameter& row) {
  const auto elements = static_cast<double>(row.elements);
  const double others = elements - zeros;
  row.f16_lost_in_use = (counts[0] - zeros) / elements;
  row.f16_weak_in_use = (counts[1] - zeros) / elements;
  row.f16_lost = (counts[2] - zeros) / elements;
  row.f16_scale = infinity;
  for (std::size_t i = f16_scales.size(); i-- > 0;)
    if (counts[2 + i] - zeros <= thresholds.f16_lost * others) row.f16_scale = f16_scales[i];
  // 65504 is the largest f16; what is below 65520 rounds to it.
  row.f16_most = row.largest > 0 ? std::exp2(std::floor(std::log2(65504 / row.largest))) : infinity;
}

GradientReport::Parameter read_parameter(const Reader& reader, const Value& parameter, const ParameterUse& use,
                                         const GradientThresholds& thresholds) {
  const std::string& path = parameter.node().name;
  GradientReport::Parameter row{.path = path, .block = block_of(path), .where = str(parameter.node().where)};
  row.elements = parameter.type().count();
  const auto elements = static_cast<double>(row.elements);
  const std::vector<double> sums = reader.numbers("gradient/" + path);
  row.norm = std::sqrt(sums[0]);
  row.mean = sums[1] / elements;
  row.largest = sums[2];
  row.zeros = sums[3] / elements;
  row.not_finite = sums[4] / elements;
  row.f16_lost = row.f16_lost_in_use = row.f16_weak_in_use = row.f16_scale = row.f16_most = unknown;
  row.dead_rows = row.weight_norm = row.update_ratio = row.arrives = unknown;
  if (reader.has("arrives/" + path)) {
    const std::vector<double> arrives = reader.numbers("arrives/" + path);
    row.arrives = arrives[0];
    row.cancels = thresholds.has_cancelled(row.norm, row.arrives, arrives[1]);
  }
  if (reader.has("f16/" + path)) read_f16(reader.numbers("f16/" + path), sums[3], thresholds, row);
  if (reader.has("rows/" + path)) {
    const std::vector<double> rows = reader.numbers("rows/" + path);
    row.dead_rows = rows[0] / rows[1];
  } else if (parameter.rank() == 1 && use.unit_axis) {
    row.dead_rows = row.zeros;
  }
  row.examples = use.examples;
  if (reader.has("update/" + path)) {
    const std::vector<double> update = reader.numbers("update/" + path);
    row.weight_norm = std::sqrt(update[0]);
    row.update_ratio = std::sqrt(update[1] / update[0]);
  }
  return row;
}

GradientReport::Block& block_in(GradientReport& report, const std::string& name) {
  const auto at = std::ranges::find(report.blocks, name, &GradientReport::Block::name);
  if (at != report.blocks.end()) return *at;
  GradientReport::Block block{.name = name};
  block.reads = block.gives = block.gain = unknown;
  return report.blocks.emplace_back(block);
}

void read_blocks(const Reader& reader, GradientReport& report) {
  const double factor = reader.factor();
  for (const std::string& name : reader.paths("block")) {
    const std::vector<double> squares = reader.numbers("block/" + name);
    GradientReport::Block& block = block_in(report, name);
    block.reads = squares[0] < 0 ? unknown : factor * std::sqrt(squares[0]);
    block.gives = factor * std::sqrt(squares[1]);
    block.gain = block.reads / block.gives;
  }
  // A parameter's block may not be one of the graph's (weights that lie elsewhere than where they are used).
  struct Sums {
    double squares = 0, sum = 0, zeros = 0;
  };
  std::vector<Sums> sums;
  for (const GradientReport::Parameter& row : report.parameters) {
    GradientReport::Block& block = block_in(report, row.block);
    sums.resize(report.blocks.size());
    Sums& of = sums[static_cast<std::size_t>(&block - report.blocks.data())];
    const auto elements = static_cast<double>(row.elements);
    of.squares += row.norm * row.norm;
    of.sum += row.mean * elements;
    of.zeros += row.zeros * elements;
    block.elements += row.elements;
    block.largest = std::isnan(row.largest) ? row.largest : std::max(block.largest, row.largest);
  }
  sums.resize(report.blocks.size());
  for (std::size_t b = 0; b < sums.size(); ++b) {
    GradientReport::Block& block = report.blocks[b];
    const auto elements = static_cast<double>(block.elements);
    block.norm = elements > 0 ? std::sqrt(sums[b].squares) : unknown;
    block.mean = sums[b].sum / elements;
    block.zeros = sums[b].zeros / elements;
    if (elements == 0) block.largest = unknown;
  }
}

std::vector<GradientReport::Passage> read_passages(const Reader& reader, const Step& step, std::string_view kind) {
  std::vector<GradientReport::Passage> passages;
  for (const std::string& name : reader.paths(kind)) {
    GradientReport::Passage passage;
    passage.path = name;
    if (kind == "closed") {
      const std::size_t slash = name.rfind('/');
      passage.path = name.substr(0, slash);
      passage.operand = std::stoll(name.substr(slash + 1));
    }
    const Value node = step.graph.find_name(passage.path);
    if (node.valid()) {
      passage.op = node.node().op->name;
      passage.where = str(node.node().where);
      passage.examples = examples_in(step, node.ref());
    }
    const std::vector<double> counts = reader.numbers(fmt::format("{}/{}", kind, name));
    passage.closed = counts[0];
    passage.reached = counts[1];
    passages.push_back(std::move(passage));
  }
  return passages;
}

std::string first_of(const auto& rows, auto name) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, rows.size()); ++i) text += (i == 0 ? "" : ", ") + rows[i].*name;
  return text;
}

}  // namespace

GradientReport gradient_report(const Result& result, const Step& step, const GradientThresholds& thresholds,
                               std::source_location where) {
  const UserLine line(where);
  const Reader reader(result, step);
  WEFT_CHECK(reader.any(), "gradient_report: the gradients of this step are not tapped; hint: step | tap_gradients()");
  GradientReport report;
  const ForwardValues forward(step);
  double squares = 0;
  report.f16_scale = unknown;
  for (const std::string& path : reader.paths("gradient")) {
    const Value parameter = step.graph.find_name(path);
    WEFT_INVARIANT(parameter.valid(), "'{}' is tapped and is no parameter", path);
    report.parameters.push_back(read_parameter(reader, parameter, use_of(step, forward, parameter), thresholds));
    const GradientReport::Parameter& row = report.parameters.back();
    squares += row.norm * row.norm;
    if (!row.cancels && !std::isnan(row.f16_scale) && !(row.f16_scale <= report.f16_scale))
      report.f16_scale = row.f16_scale;
  }
  report.norm = std::sqrt(squares);
  report.loss = result.has("loss") ? result.scalar("loss") : unknown;
  const double least = no_flow_below(report, thresholds);
  for (GradientReport::Parameter& row : report.parameters) {
    if (row.norm != 0) continue;
    for (const Value& factor : behind_zeros(step, step.graph.find_name(row.path))) {
      const auto at = std::ranges::find(report.parameters, factor.node().name, &GradientReport::Parameter::path);
      if (at != report.parameters.end() && at->norm > least) row.waits_for = at->path;
    }
  }
  read_blocks(reader, report);
  report.units = read_passages(reader, step, "units");
  report.rows = read_passages(reader, step, "closed");
  report.verdicts = judge(report, step, forward, thresholds);
  return report;
}

std::vector<Verdict> GradientReport::of(Verdict::Kind kind) const {
  std::vector<Verdict> found;
  std::ranges::copy_if(verdicts, std::back_inserter(found),
                       [&](const Verdict& verdict) { return verdict.kind == kind; });
  return found;
}

const GradientReport::Parameter& GradientReport::parameter(std::string_view path) const {
  const auto at = std::ranges::find(parameters, path, &Parameter::path);
  if (at != parameters.end()) return *at;
  WEFT_FAIL("the report has no gradient of '{}'; hint: the first of {} are {}", path, parameters.size(),
            first_of(parameters, &Parameter::path));
}

const GradientReport::Block& GradientReport::block(std::string_view name) const {
  const auto at = std::ranges::find(blocks, name, &Block::name);
  if (at != blocks.end()) return *at;
  WEFT_FAIL("the report has no block '{}'; hint: the first of {} are {}", name, blocks.size(),
            first_of(blocks, &Block::name));
}

}  // namespace weft
