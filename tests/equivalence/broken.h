// Deliberately broken copies of transforms must be caught, and their sound twins must pass.
#pragma once

#include <equivalence/models.h>
#include <support/catch.h>
#include <weft/testing/equivalent_to.h>

#include <functional>
#include <string>
#include <utility>

namespace weft::test {

/// A transform made of another one's result: what is broken in the copy, with the claims of the sound one.
inline Transform spoil(const Transform& sound, std::function<Step(Step)> fault) {
  Transform broken = sound;
  broken.apply = [apply = sound.apply, fault = std::move(fault)](Step step) { return fault(apply(std::move(step))); };
  return broken;
}

/// `sound` is equivalent to `before`, `broken` is not, and the report names each of `parts`.
inline void expect_caught(const Step& before, const Step& sound, const Step& broken, const EquivalenceOptions& options,
                          const std::vector<std::string>& parts) {
  const Equivalence right = verify_equivalent(before, sound, options);
  INFO("the sound twin: " << right.str());
  CHECK(right.passed());
  const Equivalence wrong = verify_equivalent(before, broken, options);
  INFO("the broken copy: " << wrong.str());
  CHECK_FALSE(wrong.passed());
  for (const std::string& part : parts) CHECK_THAT(wrong.str(), ContainsSubstring(part));
}

/// The gradient of the parameter at `path`.
inline Gradient& gradient_at(Step& step, const std::string& path) {
  for (Gradient& gradient : step.gradients)
    if (gradient.parameter.node().name == path) return gradient;
  throw InternalError("no gradient of " + path);
}

/// What the cell at `path` becomes.
inline Update& update_at(Step& step, std::string_view path) {
  for (Update& update : step.updates)
    if (update.state.node().name == path) return update;
  throw InternalError("no update of " + std::string(path));
}

}  // namespace weft::test
