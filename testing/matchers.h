// Matchers of Catch2 (version 2 or 3) for tests of models, steps and tensors; docs/testing.md shows each with its
// output.
//
//   CHECK_THAT(step, GradientsMatch());                 finite differences, slope test
//   CHECK_THAT(step, GradientsFlow(1e-8));              every trained parameter has a gradient
//   CHECK_THAT(step | my_transform(), EquivalentTo(step));
//   CHECK_THAT(step, AllFinite());                      also of a Tensor
//   CHECK_THAT(found, SameBits(expected));              tensors, lists of tensors, steps
//   CHECK_THAT(found, CloseTo(expected));               as torch.testing.assert_close
//   CHECK_THAT(value, ShapeIs({2, -1, 8}));             also of a Tensor
//   CHECK_THAT("my_op", PassesOpChecks());              an op of one's own
//
// Not part of <weft/weft.h>: weft itself does not need Catch2. The checks are compiled into the library and give a
// Outcome (testing/outcome.h), for other frameworks. They throw UserError where they cannot be made, as their functions
// say.
#pragma once

#include <weft/testing/catch.h>
#include <weft/testing/check_op.h>
#include <weft/testing/equivalent_to.h>
#include <weft/testing/gradients.h>
#include <weft/testing/steps.h>
#include <weft/testing/values.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weft {

/// As testing::gradients_match(): of a Step, a Loss or a Value.
class GradientsMatch : public testing::AnyMatcher {
 public:
  explicit GradientsMatch(testing::GradientsMatchOptions options = {}) : options_(std::move(options)) {}
  bool match(const Step& step) const { return keep(testing::gradients_match(step, options_)); }
  bool match(const Loss& loss) const { return keep(testing::gradients_match(loss, options_)); }
  bool match(const Value& value) const { return keep(testing::gradients_match(value, options_)); }
  std::string describe() const override { return "gradients should match:\n" + outcome_.text; }

 private:
  bool keep(testing::Outcome outcome) const { return (outcome_ = std::move(outcome)).passed; }
  testing::GradientsMatchOptions options_;
  mutable testing::Outcome outcome_;
};

/// As testing::gradients_flow(): of a Step.
class GradientsFlow : public testing::Matcher<Step> {
 public:
  explicit GradientsFlow(double threshold = 1e-8, testing::RunOptions options = {})
      : threshold_(threshold), options_(std::move(options)) {}
  bool match(const Step& step) const override {
    return (outcome_ = testing::gradients_flow(step, threshold_, options_)).passed;
  }
  std::string describe() const override { return "gradients should flow:\n" + outcome_.text; }

 private:
  double threshold_;
  testing::RunOptions options_;
  mutable testing::Outcome outcome_;
};

/// As testing::all_finite(): of a Tensor or of a Step.
class AllFinite : public testing::AnyMatcher {
 public:
  explicit AllFinite(testing::RunOptions options = {}) : options_(std::move(options)) {}
  bool match(const Tensor& tensor) const { return (outcome_ = testing::all_finite(tensor)).passed; }
  bool match(const Step& step) const { return (outcome_ = testing::all_finite(step, options_)).passed; }
  std::string describe() const override { return "should be finite:\n" + outcome_.text; }

 private:
  testing::RunOptions options_;
  mutable testing::Outcome outcome_;
};

/// As testing::bits_agree(): of a Tensor, a std::vector<Tensor>, or a Step (with SameBitsOptions).
template <class T>
class SameBits : public testing::Matcher<T> {
 public:
  explicit SameBits(T expected, testing::SameBitsOptions options = {})
      : expected_(std::move(expected)), options_(std::move(options)) {}
  bool match(const T& found) const override {
    if constexpr (std::is_same_v<T, Step>) outcome_ = testing::bits_agree(found, expected_, options_);
    else outcome_ = testing::bits_agree(found, expected_);
    return outcome_.passed;
  }
  std::string describe() const override { return "should have the same bits:\n" + outcome_.text; }

 private:
  T expected_;
  testing::SameBitsOptions options_;
  mutable testing::Outcome outcome_;
};

/// As testing::close_to(): of a Tensor; tolerances as of torch.testing.assert_close.
class CloseTo : public testing::Matcher<Tensor> {
 public:
  explicit CloseTo(Tensor expected, std::optional<double> rtol = std::nullopt,
                   std::optional<double> atol = std::nullopt)
      : expected_(std::move(expected)), rtol_(rtol), atol_(atol) {}
  bool match(const Tensor& found) const override {
    return (outcome_ = testing::close_to(found, expected_, rtol_, atol_)).passed;
  }
  std::string describe() const override { return "should be close:\n" + outcome_.text; }

 private:
  Tensor expected_;
  std::optional<double> rtol_, atol_;
  mutable testing::Outcome outcome_;
};

/// As testing::has_shape(): of a Value or a Tensor; -1 stands for any extent.
class ShapeIs : public testing::AnyMatcher {
 public:
  ShapeIs(std::initializer_list<Dim> dims) {
    for (const Dim& dim : dims) extents_.push_back(dim.value());
  }
  explicit ShapeIs(std::vector<std::int64_t> extents) : extents_(std::move(extents)) {}
  bool match(const Value& value) const { return (outcome_ = testing::has_shape(value, extents_)).passed; }
  bool match(const Tensor& tensor) const { return (outcome_ = testing::has_shape(tensor, extents_)).passed; }
  std::string describe() const override { return "should have its shape:\n" + outcome_.text; }

 private:
  std::vector<std::int64_t> extents_;
  mutable testing::Outcome outcome_;
};

/// As testing::check_op(): of the name of a registered op, or as check_op(): of an OpDef.
class PassesOpChecks : public testing::AnyMatcher {
 public:
  bool match(const std::string& name) const { return keep(testing::check_op(name)); }
  bool match(const OpDef& op) const { return keep(check_op(op)); }
  std::string describe() const override { return "should pass the checks of an op:\n" + text_; }

 private:
  bool keep(const OpCheck& check) const {
    text_ = check.passed() ? fmt::format("{} checks passed", check.lines.size()) : check.str();
    return check.passed();
  }
  mutable std::string text_;
};

}  // namespace weft
