// EquivalentTo(step): verify_equivalent as a matcher of Catch2 (version 2 or 3), for tests of one's own transforms:
//
//   CHECK_THAT(step | my_transform(), EquivalentTo(step, {.integers = {{"tokens", 65}}}));
//
// Not part of <weft/weft.h>: weft itself does not need Catch2.
#pragma once

#include <weft/inspect/equivalence/verify_equivalent.h>
#include <weft/testing/catch.h>

#include <string>
#include <utility>

namespace weft {

/// Matches a step that does what `before` does, as far as the transforms between them claim. On failure the report of
/// verify_equivalent is what Catch2 prints. UserError as of verify_equivalent.
class EquivalentTo : public testing::Matcher<Step> {
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
