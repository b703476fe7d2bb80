// EquivalentTo(step): verify_equivalent as a matcher of Catch2 (version 2 or 3), for tests of one's own transforms:
//
//   CHECK_THAT(step | my_transform(), EquivalentTo(step, {.integers = {{"tokens", 65}}}));
//
// Not part of <weft/weft.h>: weft itself does not need Catch2.
#pragma once

#include <weft/optim/verify_equivalent.h>

#if __has_include(<catch2/matchers/catch_matchers.hpp>)
#include <catch2/catch_tostring.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <string>
#include <utility>

/// A step in a failed assertion: its transforms, not its nodes.
template <>
struct Catch::StringMaker<weft::Step> {
  static std::string convert(const weft::Step& step) {
    std::string text;
    for (const std::string& name : step.history()) text += (text.empty() ? "" : " | ") + name;
    return text;
  }
};

namespace weft {

#if __has_include(<catch2/matchers/catch_matchers.hpp>)
using StepMatcher = Catch::Matchers::MatcherBase<Step>;
#else
using StepMatcher = Catch::MatcherBase<Step>;
#endif

/// Matches a step that does what `before` does, as far as the transforms between them claim. On failure the report of
/// verify_equivalent is what Catch2 prints. UserError as of verify_equivalent.
class EquivalentTo : public StepMatcher {
 public:
  explicit EquivalentTo(Step before, EquivalenceOptions options = {})
      : before_(std::move(before)), options_(std::move(options)) {}

  bool match(const Step& after) const override {
    result_ = verify_equivalent(before_, after, options_);
    return result_.passed();
  }
  std::string describe() const override { return "should be equivalent:\n" + result_.str(); }

 private:
  Step before_;
  EquivalenceOptions options_;
  mutable Equivalence result_;
};

}  // namespace weft
