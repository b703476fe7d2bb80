#include <weft/inspect/gradients/gradient_report.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <ostream>

namespace weft {
namespace {

std::string number(double value) { return std::isnan(value) ? "-" : fmt::format("{:.2e}", value); }
std::string share(double value) { return std::isnan(value) ? "-" : fmt::format("{:.1f} %", 100 * value); }
std::string scale(double value) {
  return std::isnan(value) ? "-" : std::isinf(value) ? "none" : fmt::format("{:.0f}", value);
}
std::string shown(const std::string& block) { return block.empty() ? "(top)" : block; }

template <class Rows, class Name>
std::size_t widest(const Rows& rows, Name name, std::size_t least) {
  for (const auto& row : rows) least = std::max(least, name(row).size());
  return least;
}

using Json = nlohmann::ordered_json;
Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json json_of(const GradientReport::Parameter& row) {
  return {{"path", row.path},
          {"block", row.block},
          {"where", row.where},
          {"elements", row.elements},
          {"norm", finite(row.norm)},
          {"mean", finite(row.mean)},
          {"largest", finite(row.largest)},
          {"zeros", finite(row.zeros)},
          {"not_finite", finite(row.not_finite)},
          {"f16_lost", finite(row.f16_lost)},
          {"f16_lost_in_use", finite(row.f16_lost_in_use)},
          {"f16_weak_in_use", finite(row.f16_weak_in_use)},
          {"f16_scale", finite(row.f16_scale)},
          {"f16_most", finite(row.f16_most)},
          {"dead_rows", finite(row.dead_rows)},
          {"examples", row.examples},
          {"waits_for", row.waits_for},
          {"weight_norm", finite(row.weight_norm)},
          {"update_ratio", finite(row.update_ratio)},
          {"arrives", finite(row.arrives)},
          {"cancels", row.cancels}};
}

Json json_of(const GradientReport::Block& block) {
  return {{"block", block.name},          {"elements", block.elements},       {"norm", finite(block.norm)},
          {"mean", finite(block.mean)},   {"largest", finite(block.largest)}, {"zeros", finite(block.zeros)},
          {"reads", finite(block.reads)}, {"gives", finite(block.gives)},     {"gain", finite(block.gain)}};
}

Json json_of(const GradientReport::Passage& passage) {
  Json json{{"path", passage.path},        {"op", passage.op},           {"where", passage.where},
            {"closed", passage.closed},    {"reached", passage.reached}, {"share", finite(passage.share())},
            {"examples", passage.examples}};
  if (passage.operand >= 0) json["operand"] = passage.operand;
  return json;
}

Json json_of(const Verdict& verdict) {
  return {{"verdict", std::string(name_of(verdict.kind))},
          {"path", verdict.path},
          {"where", verdict.where},
          {"value", finite(verdict.value)},
          {"threshold", verdict.threshold},
          {"message", verdict.message}};
}

}  // namespace

std::string GradientReport::str() const {
  std::string text =
      fmt::format("gradients: norm {}, loss {}, loss scale for f16 {}\n", number(norm), number(loss), scale(f16_scale));
  std::size_t width = widest(blocks, [](const Block& b) { return shown(b.name); }, 5);
  text += fmt::format("  {:<{}}  {:>9}  {:>9}  {:>9}  {:>8}  {:>9}  {:>9}  {:>9}\n", "block", width, "norm", "mean",
                      "largest", "zeros", "arrives", "goes on", "gain");
  for (const Block& block : blocks)
    text += fmt::format("  {:<{}}  {:>9}  {:>9}  {:>9}  {:>8}  {:>9}  {:>9}  {:>9}\n", shown(block.name), width,
                        number(block.norm), number(block.mean), number(block.largest), share(block.zeros),
                        number(block.gives), number(block.reads), number(block.gain));
  width = widest(parameters, [](const Parameter& p) { return p.path; }, 9);
  text += fmt::format("  {:<{}}  {:>9}  {:>9}  {:>9}  {:>8}  {:>8}  {:>9}  {:>8}  {:>9}\n", "parameter", width, "norm",
                      "mean", "largest", "zeros", "lost f16", "f16 scale", "dead", "update/w");
  for (const Parameter& row : parameters)
    text += fmt::format("  {:<{}}  {:>9}  {:>9}  {:>9}  {:>8}  {:>8}  {:>9}  {:>8}  {:>9}{}\n", row.path, width,
                        number(row.norm), number(row.mean), number(row.largest), share(row.zeros), share(row.f16_lost),
                        scale(row.f16_scale), share(row.dead_rows), number(row.update_ratio),
                        row.cancels              ? "  cancels: the loss ignores it"
                        : !row.waits_for.empty() ? "  waits for " + row.waits_for + ", which starts at 0"
                                                 : "");
  for (const Passage& unit : units)
    if (unit.closed > 0)
      text += fmt::format("  {} [{}] ({}): {:.0f} of {:.0f} units dead\n", unit.path, unit.op, unit.where, unit.closed,
                          unit.reached);
  for (const Passage& row : rows)
    if (row.closed > 0)
      text += fmt::format("  {} [{}] ({}): {:.0f} of {:.0f} rows closed to operand {}\n", row.path, row.op, row.where,
                          row.closed, row.reached, row.operand);
  constexpr std::size_t most = 5;  // of a kind
  std::map<Verdict::Kind, std::size_t> count;
  for (const Verdict& verdict : verdicts)
    if (++count[verdict.kind] <= most) text += "  " + verdict.str() + "\n";
  for (const auto& [kind, all] : count)
    if (all > most) text += fmt::format("  {}: {} more\n", name_of(kind), all - most);
  return text;
}

std::string GradientReport::json_lines(std::int64_t step) const {
  std::string text;
  auto line = [&](const char* kind, const Json& fields) {
    Json json{{"kind", kind}, {"step", step}};
    json.update(fields);
    text += json.dump() + "\n";
  };
  line("step",
       {{"norm", finite(norm)}, {"loss", finite(loss)}, {"f16_scale", finite(f16_scale)}, {"healthy", healthy()}});
  for (const Block& block : blocks) line("block", json_of(block));
  for (const Parameter& row : parameters) line("parameter", json_of(row));
  for (const Passage& unit : units) line("units", json_of(unit));
  for (const Passage& row : rows) line("rows", json_of(row));
  for (const Verdict& verdict : verdicts) line("verdict", json_of(verdict));
  return text;
}

std::ostream& operator<<(std::ostream& out, const GradientReport& report) { return out << report.str(); }

}  // namespace weft
