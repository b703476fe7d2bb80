#include <weft/graph/glob.h>
#include <weft/optim/facts.h>
#include <weft/optim/fetch_gradients.h>
#include <weft/optim/unscale_and_check.h>

#include <algorithm>

namespace weft {
namespace {

[[noreturn]] void refuse(const Step& step, const std::string& pattern) {
  for (const Value& parameter : step.graph.parameters())
    WEFT_CHECK(
        !matches(pattern, parameter.node().name),
        "fetch_gradients: '{}' matches '{}', which has no gradient: the loss does not reach it, or it is frozen; hint: "
        "audit(step) says where the gradient ends",
        pattern, parameter.node().name);
  std::string first;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, step.gradients.size()); ++i)
    first += (i == 0 ? "" : ", ") + step.gradients[i].parameter.node().name;
  WEFT_FAIL("fetch_gradients: the pattern '{}' matches no parameter; hint: the first of {} with a gradient are {}",
            pattern, step.gradients.size(), first);
}

}  // namespace

Transform fetch_gradients(std::string pattern, std::source_location where) {
  const UserLine line(where);
  return {.name = "fetch_gradients",
          .claim = Claim::same_bits,
          .needs = {fact::gradients},
          .promises = {fact::unscaled},
          .apply = [pattern = std::move(pattern)](Step step) {
            unscale_and_check(step);
            bool found = false;
            for (const Gradient& gradient : step.gradients) {
              const std::string& path = gradient.parameter.node().name;
              if (!matches(pattern, path)) continue;
              step.set_fetch("gradient/" + path, gradient.value);
              found = true;
            }
            if (!found) refuse(step, pattern);
            return step;
          }};
}

}  // namespace weft
