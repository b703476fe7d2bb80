#include <weft/inspect/gradients/gradient_verdicts.h>

#include <weft/inspect/gradients/block_flow.h>
#include <weft/inspect/gradients/zero_start.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace weft {
namespace {

using Kind = Verdict::Kind;

constexpr std::array kinds{"no_flow",    "vanishing", "exploding",     "not_finite",
                           "dead_units", "saturated", "f16_underflow", "update_too_large"};

bool computes_in_f16(const Step& step) {
  return std::ranges::any_of(step.graph.ids(), [&](NodeId id) {
    const Node& node = step.graph.node(id);
    return !node.op->traits.source &&
           std::ranges::any_of(node.types, [](const TensorType& type) { return type.dtype == f16; });
  });
}

class Judge {
 public:
  Judge(const GradientReport& report, const Step& step, const ForwardValues& forward,
        const GradientThresholds& thresholds)
      : report_(report),
        step_(step),
        forward_(forward),
        least_(thresholds),
        flows_above_(no_flow_below(report, thresholds)) {}

  std::vector<Verdict> run() {
    of_loss();
    for (const auto& row : report_.parameters) of_norm(row);
    of_depth();
    for (const auto& row : report_.parameters) of_units(row);
    for (const auto& unit : report_.units) {
      if (!(unit.share() > least_.dead) || unit.examples < least_.dead_examples) continue;
      if (rounds_to_f16(unit.path))
        add(Kind::f16_underflow, unit.path, unit.where, unit.share(), least_.dead,
            fmt::format("[{}] rounds the gradient of {:.0f} of the {:.0f} units that it reaches to 0, since it flows "
                        "in f16 from here; "
                        "hint: scale_loss(dynamic_scale()), or bf16",
                        unit.op, unit.closed, unit.reached));
      else
        add(Kind::dead_units, unit.path, unit.where, unit.share(), least_.dead,
            fmt::format(
                "[{}] lets nothing through to {:.0f} of the {:.0f} units that the gradient reaches, for no example of "
                "this "
                "batch; hint: a smaller rate or bias, a normalisation before it, or an activation without a flat side",
                unit.op, unit.closed, unit.reached));
    }
    for (const auto& rows : report_.rows) {
      if (rows.share() > least_.saturated && !starts_closed(rows))
        add(Kind::saturated, rows.path, rows.where, rows.share(), least_.saturated,
            fmt::format(
                "[{}] lets next to nothing through to operand {} in {:.0f} of {:.0f} rows: it is saturated; hint: "
                "scale "
                "its operand down (1 / sqrt(width) for scores), normalise queries and keys, or raise the temperature",
                rows.op, rows.operand, rows.closed, rows.reached));
    }
    if (computes_in_f16(step_))
      for (const auto& row : report_.parameters) of_f16(row);
    for (const auto& row : report_.parameters)
      if (has_scale(row.path) && row.weight_norm > 0 && row.update_ratio > least_.update)
        add(Kind::update_too_large, row.path, row.where, row.update_ratio, least_.update,
            fmt::format("the update is {:.3g} of the weight's norm; hint: a smaller rate, a warm-up, or clipping",
                        row.update_ratio));
    std::ranges::stable_sort(verdicts_, {}, &Verdict::kind);
    return std::move(verdicts_);
  }

 private:
  void add(Kind kind, std::string path, std::string where, double value, double threshold, std::string message) {
    verdicts_.push_back({kind, std::move(path), std::move(where), value, threshold, std::move(message)});
  }

  // Whether the gradient arrives at the node in a wider type and goes on in f16.
  bool rounds_to_f16(const std::string& path) const {
    const Value node = step_.graph.find_name(path);
    if (!node.valid() || node.dtype() == f16) return false;
    const std::vector<ValueRef>& operands = node.node().operands;
    return std::ranges::any_of(operands,
                               [&](ValueRef ref) { return ref.node != no_node && step_.graph.type(ref).dtype == f16; });
  }

  // A gain of zeros is no saturation: it opens with its first update.
  bool starts_closed(const GradientReport::Passage& rows) const {
    const Value node = step_.graph.find_name(rows.path);
    if (!node.valid()) return false;
    const Value factor = zero_factor(step_, node.ref().node, static_cast<std::size_t>(rows.operand));
    if (!factor.valid()) return false;
    const auto row = std::ranges::find(report_.parameters, factor.node().name, &GradientReport::Parameter::path);
    return row != report_.parameters.end() && row->norm > flows_above_ && !(row->weight_norm > 0);
  }

  // What starts at 0 has no size of its own: its first updates are as large as it is.
  bool has_scale(const std::string& path) const {
    const Value parameter = step_.graph.find_name(path);
    return parameter.valid() && parameter.rank() >= 2 && !starts_at_zero(parameter);
  }

  // A loss can be infinite and its gradient not.
  void of_loss() {
    if (!step_.has_fetch("loss") || std::isfinite(report_.loss)) return;
    const bool known = step_.loss_value.valid();
    add(Kind::not_finite, known ? step_.loss_value.name() : "loss",
        known ? weft::str(step_.loss_value.node().where) : "", report_.loss, 0,
        fmt::format("the loss is {}; hint: first_nonfinite(step, store, feeds) names the node where that begins",
                    std::isnan(report_.loss) ? "NaN" : "infinite"));
  }

  void of_norm(const GradientReport::Parameter& row) {
    if (row.not_finite > 0)
      add(Kind::not_finite, row.path, row.where, row.not_finite, 0,
          fmt::format("{:.3g} % of the gradient is NaN or infinite; hint: {}first_nonfinite(step, store, feeds) names "
                      "the node where "
                      "that begins",
                      100 * row.not_finite,
                      step_.loss_scale ? "a dynamic loss scale skips such a step and falls; " : ""));
    else if (!(row.norm > flows_above_) && !row.cancels && row.waits_for.empty() && !learned())
      add(Kind::no_flow, row.path, row.where, row.norm, flows_above_,
          fmt::format(
              "the norm of the gradient is {:.3g}, not above {:.3g}: it does not learn from this batch; hint: "
              "audit(step) says where "
              "its paths to the loss end, or testing::gradients_flow(step) behind which node nothing is left on "
              "these numbers",
              row.norm, flows_above_));
  }
  bool learned() const { return report_.loss >= 0 && report_.loss <= least_.learned; }

  // From a block nearest to a loss to those whose gradient comes through it.
  void of_depth() {
    const BlockFlow flow(step_, forward_);
    using Block = GradientReport::Block;
    auto measured = [](const Block& block) { return std::isfinite(block.gives) && block.gives > 0; };
    struct Found {
      const Block *block = nullptr, *from = nullptr;
      double factor = 1;
    } low, high;
    for (const Block& block : report_.blocks) {
      if (!measured(block) || flow.nearest_to_loss(block.name)) continue;
      const Block *least = nullptr, *most = nullptr;  // of those that its gradient comes from
      for (const Block& last : report_.blocks) {
        if (!measured(last) || !flow.nearest_to_loss(last.name) || !flow.comes_through(block.name, last.name)) continue;
        if (least == nullptr || last.gives < least->gives) least = &last;
        if (most == nullptr || last.gives > most->gives) most = &last;
      }
      if (least == nullptr) continue;
      // Where blocks further back get more, the gradient goes around this one.
      const bool side = std::ranges::any_of(report_.blocks, [&](const Block& behind) {
        return measured(behind) && behind.gives >= least_.vanishing * least->gives &&
               flow.comes_through(behind.name, block.name);
      });
      if (const double down = block.gives / least->gives; down < low.factor && !side) low = {&block, least, down};
      if (const double up = block.gives / most->gives; up > high.factor) high = {&block, most, up};
    }
    if (low.factor < least_.vanishing)
      add(Kind::vanishing, low.block->name, "", low.factor, least_.vanishing,
          fmt::format("the gradient falls to {:.3g} between {} and here; hint: residual connections, a normalisation "
                      "in each block, "
                      "or a larger initialisation",
                      low.factor, low.from->name));
    if (high.factor > least_.exploding)
      add(Kind::exploding, high.block->name, "", high.factor, least_.exploding,
          fmt::format(
              "the gradient grows to {:.3g} times between {} and here; hint: a normalisation in each block, a smaller "
              "initialisation of what ends in the residual stream, or clipping",
              high.factor, high.from->name));
  }

  void of_units(const GradientReport::Parameter& row) {
    if (!(row.dead_rows > least_.dead) || row.examples < least_.dead_examples) return;
    if (!(row.norm > flows_above_)) return;  // all 0 is no_flow
    add(Kind::dead_units, row.path, row.where, row.dead_rows, least_.dead,
        fmt::format(
            "{:.3g} % of its units have a gradient of exactly 0 over this whole batch; hint: a smaller rate or bias, a "
            "normalisation before it, or an activation without a flat side",
            100 * row.dead_rows));
  }

  void of_f16(const GradientReport::Parameter& row) {
    const double others = 1 - row.zeros;
    if (!(others > 0) || !(row.f16_weak_in_use > least_.f16_weak * others)) return;
    const double in_use = step_.loss_scale ? 0 : 1;
    add(Kind::f16_underflow, row.path, row.where, row.f16_weak_in_use / others, least_.f16_weak,
        fmt::format("{:.3g} % of the gradient's elements that are not 0 are below 2^-14 {}, where f16 loses digits and "
                    "then all; hint: {}",
                    100 * row.f16_weak_in_use / others,
                    in_use == 1 ? "without a loss scale" : "at the loss scale in use",
                    std::isfinite(row.f16_scale) && row.f16_scale > 1
                        ? fmt::format("scale_loss(static_scale({:.0f})), or dynamic_scale()", row.f16_scale)
                        : std::string("scale_loss(dynamic_scale()), or bf16")));
  }

  const GradientReport& report_;
  const Step& step_;
  const ForwardValues& forward_;
  const GradientThresholds& least_;
  const double flows_above_;
  std::vector<Verdict> verdicts_;
};

}  // namespace

bool GradientThresholds::has_cancelled(double norm, double terms, double unit) const {
  return std::isfinite(terms) && norm > 0 && norm <= std::max(cancels, unit) * terms;
}

std::string_view name_of(Verdict::Kind kind) { return kinds.at(static_cast<std::size_t>(kind)); }

std::string Verdict::str() const {
  return where.empty() ? fmt::format("{}: {}: {}", name_of(kind), path, message)
                       : fmt::format("{}: {} ({}): {}", name_of(kind), path, where, message);
}

double no_flow_below(const GradientReport& report, const GradientThresholds& thresholds) {
  const double loss = std::abs(report.loss);
  return loss < 1 ? loss * thresholds.flows_above : thresholds.flows_above;  // NaN: the step publishes none
}

std::vector<Verdict> judge(const GradientReport& report, const Step& step, const ForwardValues& forward,
                           const GradientThresholds& thresholds) {
  return Judge(report, step, forward, thresholds).run();
}

}  // namespace weft
