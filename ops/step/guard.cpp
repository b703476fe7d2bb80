#include <weft/graph/registry.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/step/guard.h>
#include <weft/runtime/kernel.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace weft {
namespace {

constexpr std::int64_t most_named = 4;

std::int64_t lines(std::string_view text) { return text.empty() ? 0 : 1 + std::ranges::count(text, '\n'); }

std::vector<TensorType> infer(const OpView& view) {
  for (int i = 0; i < view.inputs(); ++i) {
    const TensorType want{i == 0 ? boolean : f64, {}};
    WEFT_CHECK(view.type(i) == want, "operand {} must be {}, got {}", i, want.str(), view.type(i).str());
  }
  const std::int64_t names = lines(view.attributes.text("names"));
  WEFT_CHECK(names == view.inputs() - 2, "{} names for {} parts of the norm", names, view.inputs() - 2);
  return {{boolean, {}}};
}

std::vector<BatchState> batch(const OpView&, std::span<const BatchState> in) {
  return {only_batched(in) == -1 ? BatchState{} : BatchState::mixed()};
}

[[noreturn]] void refuse(const KernelContext& ctx) {
  std::string_view rest = ctx.attributes().text("names");
  std::string listed;
  std::int64_t found = 0;
  const int parts = ctx.view().inputs() - 2;
  for (int i = 0; i < parts; ++i) {
    const std::string_view name = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    const double part = *ctx.in<double>(i + 2);
    if (std::isfinite(part) || ++found > most_named) continue;
    listed += fmt::format("{}'{}' ({})", listed.empty() ? "" : ", ", name, part);
  }
  if (found > most_named) listed += ", ...";
  const double norm = *ctx.in<double>(1);
  WEFT_CHECK(
      found == 0,
      "the norm of the gradients is {}; not finite in {} of {}: {}; hint: NonFinite::skip passes over such a step",
      norm, found, parts, listed);
  WEFT_CHECK(std::isfinite(norm), "the norm of the gradients is {}, while that of each of the {} is finite", norm,
             parts);
  WEFT_FAIL(
      "the norm of the gradients is {}, but the loss has no mean: its weight is 0; hint: a batch in which no token "
      "counts, or NonFinite::skip",
      norm);
}

void kernel(KernelContext& ctx) {
  if (!*ctx.in<bool>(0)) refuse(ctx);
  *ctx.out<bool>(0) = true;
}

}  // namespace

const OpDef& require_finite_op() {
  const SampleInput passes = sample::integers({}, 1, 2).as(boolean);
  const SampleInput number = sample::uniform({}, 0, 9).constant().as(f64);
  static const OpDef op{
      .name = "require_finite",
      .law = "y = ok where ok; else the run is refused, before anything in the store has changed",
      .source = "torch.nn.utils.clip_grad_norm_, error_if_nonfinite",
      .least_inputs = 2,
      .most_inputs = -1,
      .infer = infer,
      .batch = batch,
      .backward = [](Backward&) {},
      .reference = unmoved,
      .traits = {.recomputable = false, .guard = true},
      .kernels = {{.dtype = boolean, .run = kernel}},
      .samples = {{{passes, number}, {{"names", std::string()}}},
                  {{passes, number, number, number}, {{"names", std::string("a\nb")}}}},
      .bad_samples = {{{{boolean, {}}, {f32, {}}}, {{"names", std::string()}}, "operand 1 must be f64[], got f32[]"},
                      {{{boolean, {}}, {f64, {}}, {f64, {}}}, {{"names", std::string("a\nb")}}, "2 names for 1 parts"}},
  };
  return op;
}

Value require_finite(const Arg& ok, const Arg& norm, const std::vector<Value>& parts,
                     const std::vector<std::string>& names) {
  WEFT_CHECK(!ok.is_number() && !norm.is_number(), "require_finite needs values, not numbers");
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : "\n") + name;
  Values operands{ok.value(), norm.value()};
  operands.insert(operands.end(), parts.begin(), parts.end());
  return ok.value().graph().apply(require_finite_op(), operands, {{"names", text}}, ok.where()).front();
}

void register_guard() { registry().add(require_finite_op()); }

}  // namespace weft
