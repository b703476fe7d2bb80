#include <support/random_steps.h>

#include <weft/graph/sources.h>
#include <weft/runtime/kernel.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace random_steps {
namespace {

using namespace weft;

// Numbers stay in [0, 1).
float wrapped(float x) { return x - std::floor(x); }

std::int64_t count(const TensorType& type) { return type.shape.extent(0); }

// y[i] = sum over operands k of (k + 1) / 3 * x_k[i mod n_k], with its bytes of scratch used as a detour.
void mix(KernelContext& context) {
  float* y = context.out<float>(0);
  const std::int64_t n = count(context.out_type(0)), scratch = context.attributes().integer("scratch");
  auto* detour = reinterpret_cast<float*>(context.workspace());
  for (std::int64_t i = 0; i < n; ++i) {
    float sum = 0.125F;
    for (int k = 0; k < context.view().inputs(); ++k)
      sum += static_cast<float>(k + 1) / 3 * context.in<float>(k)[i % count(context.type(k))];
    if (scratch > 0) {
      detour[i % (scratch / 4)] = sum;
      sum = detour[i % (scratch / 4)];
    }
    y[i] = wrapped(sum);
  }
}

const OpDef& mix_op() {
  static const OpDef op{
      .name = "mix",
      .most_inputs = -1,
      .infer = [](const OpView& view) { return std::vector<TensorType>{{f32, {view.attributes.integer("size")}}}; },
      .kernels = {{.run = mix, .workspace = [](const OpView& view, int) {
                     return static_cast<std::size_t>(view.attributes.integer("scratch"));
                   }}}};
  return op;
}

// y = 3/4 x + 1/8, may overwrite x
const OpDef& bump_op() {
  static const OpDef op{.name = "bump",
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .traits = {.pointwise = true, .in_place = {{0, 0}}},
                        .kernels = {{.run = [](KernelContext& context) {
                          for (std::int64_t i = 0; i < count(context.type(0)); ++i)
                            context.out<float>(0)[i] = 0.75F * context.in<float>(0)[i] + 0.125F;
                        }}}};
  return op;
}

// y = a + b / 2, may overwrite either
const OpDef& plus_op() {
  static const OpDef op{.name = "plus",
                        .least_inputs = 2,
                        .most_inputs = 2,
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .traits = {.pointwise = true, .in_place = {{0, 0}, {0, 1}}},
                        .kernels = {{.run = [](KernelContext& context) {
                          for (std::int64_t i = 0; i < count(context.type(0)); ++i)
                            context.out<float>(0)[i] =
                                wrapped(context.in<float>(0)[i] + 0.5F * context.in<float>(1)[i]);
                        }}}};
  return op;
}

// Two outputs: one of x's size that may overwrite it, one of another.
const OpDef& fork_op() {
  static const OpDef op{.name = "fork",
                        .outputs = {"same", "other"},
                        .infer =
                            [](const OpView& view) {
                              return std::vector<TensorType>{view.type(0), {f32, {view.attributes.integer("size")}}};
                            },
                        .traits = {.in_place = {{0, 0}}},
                        .kernels = {{.run = [](KernelContext& context) {
                          const std::int64_t n = count(context.type(0));
                          for (std::int64_t i = 0; i < count(context.out_type(1)); ++i)
                            context.out<float>(1)[i] = wrapped(1.25F * context.in<float>(0)[i % n] + 0.5F);
                          for (std::int64_t i = 0; i < n; ++i)
                            context.out<float>(0)[i] = wrapped(context.in<float>(0)[i] + 0.25F);
                        }}}};
  return op;
}

const OpDef& view_op() {
  static const OpDef op{
      .name = "seen", .infer = [](const OpView& view) { return std::vector{view.type(0)}; }, .traits = {.view = true}};
  return op;
}

class Maker {
 public:
  Maker(std::uint64_t seed, const Settings& settings) : random_(seed), settings_(settings) {
    chains_ = 2 + static_cast<std::size_t>(below(6));
  }

  Step run() {
    for (int i = 0; i < 3; ++i)
      add(graph_.state(fmt::format("state{}", i), {f32, {size()}}, init::constant(0.25 + i * 0.125)));
    states_ = values_;
    while (static_cast<int>(values_.size()) < settings_.nodes) node();
    gather();
    for (std::size_t i = 0; i < states_.size(); ++i) {
      const Value change =
          apply(mix_op(), {pick(), states_[i]}, {{"size", count(states_[i].type())}, {"scratch", std::int64_t{0}}})[0];
      step_.updates.push_back({states_[i], apply(plus_op(), {states_[i], change}, {})[0]});
    }
    step_.graph = graph_;
    return std::move(step_);
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool chance(int percent) { return below(100) < static_cast<std::uint64_t>(percent); }
  std::int64_t size() {
    if (static_cast<double>(below(1000)) < 1000 * settings_.smallest_share)
      return static_cast<std::int64_t>(1 + below(16));
    const double exponent = static_cast<double>(below(10000)) / 10000 * std::log(static_cast<double>(settings_.most));
    return static_cast<std::int64_t>(std::exp(exponent));
  }
  void add(const Value& value) {
    values_.push_back(value);
    read_.push_back(false);
  }

  // An operand, by the kind of graph.
  Value pick() {
    const std::size_t made = values_.size(), half = static_cast<std::size_t>(settings_.nodes) / 2;
    std::size_t at = static_cast<std::size_t>(below(made));
    const std::size_t recent = made - 1 - static_cast<std::size_t>(below(std::min<std::size_t>(made, 8)));
    switch (settings_.kind) {
      case Kind::local:
        at = chance(90) ? recent : at;
        break;
      case Kind::global:
        break;
      case Kind::mirrored: {
        const bool back = made > half && chance(50);
        const std::size_t mirror = 2 * half > made ? 2 * half - made : 0;
        at = back ? std::min(made - 1, mirror + static_cast<std::size_t>(below(4)))
                  : made - 1 - static_cast<std::size_t>(below(std::min<std::size_t>(made, 3)));
        break;
      }
      case Kind::chains:
        at = made > chains_ && chance(80) ? made - chains_ : at;
        break;
    }
    read_[at] = true;
    return values_[at];
  }
  Values apply(const OpDef& op, const Values& operands, Attributes attributes) {
    return graph_.apply(op, operands, std::move(attributes));
  }

  void node() {
    const Value x = pick();
    switch (below(10)) {
      case 0:
        add(apply(view_op(), {x}, {})[0]);
        return;
      case 1:
      case 2:
        add(apply(bump_op(), {x}, {})[0]);
        return;
      case 3: {
        const Value other = pick();
        if (other.type() != x.type()) break;
        add(apply(plus_op(), {x, other}, {})[0]);
        return;
      }
      case 4: {
        const Values both = apply(fork_op(), {x}, {{"size", size()}});
        add(both[0]);
        add(both[1]);
        return;
      }
      default:
        break;
    }
    Values operands{x};
    for (std::uint64_t more = below(3); more > 0; --more) operands.push_back(pick());
    add(apply(mix_op(), operands, {{"size", size()}, {"scratch", chance(15) ? size() * 4 : std::int64_t{0}}})[0]);
  }

  // What nobody reads is read by small nodes, which are fetched.
  void gather() {
    Values unread;
    for (std::size_t i = states_.size(); i < values_.size(); ++i)
      if (!read_[i]) unread.push_back(values_[i]);
    for (std::size_t i = 0; i < unread.size(); i += 4) {
      const Values some(unread.begin() + static_cast<std::ptrdiff_t>(i),
                        unread.begin() + static_cast<std::ptrdiff_t>(std::min(unread.size(), i + 4)));
      step_.fetches.push_back({fmt::format("{}", step_.fetches.size()),
                               apply(mix_op(), some, {{"size", std::int64_t{8}}, {"scratch", std::int64_t{0}}})[0]});
    }
  }

  std::mt19937_64 random_;
  Settings settings_;
  std::size_t chains_ = 2;
  Graph graph_;
  Step step_;
  Values values_, states_;
  std::vector<bool> read_;
};

}  // namespace

Step make(std::uint64_t seed, const Settings& settings) { return Maker(seed, settings).run(); }

}  // namespace random_steps
