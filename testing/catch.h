// What the matchers of <weft/testing/...> need of Catch2, version 2 or 3. weft itself does not need Catch2: what the
// matchers find out is compiled into the library (testing/outcome.h), and works with any framework for tests.
#pragma once

#if __has_include(<catch2/matchers/catch_matchers.hpp>)
#include <catch2/catch_tostring.hpp>
#include <catch2/matchers/catch_matchers_templated.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <weft/graph/graph.h>
#include <weft/graph/step.h>
#include <weft/runtime/tensor.h>

#include <string>
#include <type_traits>
#include <utility>

/// A step in a failed assertion: its transforms, not its nodes.
template <>
struct Catch::StringMaker<weft::Step> {
  static std::string convert(const weft::Step& step) {
    std::string text;
    for (const std::string& name : step.history()) text += (text.empty() ? "" : " | ") + name;
    return text.empty() ? "a step without transforms" : text;
  }
};

/// A value in a failed assertion: its path, type and line.
template <>
struct Catch::StringMaker<weft::Value> {
  static std::string convert(const weft::Value& value) {
    if (!value.valid()) return value.absent() ? "an absent value" : "a value that failed to build";
    return value.name() + " : " + value.type().str() + " (" + weft::str(value.node().where) + ")";
  }
};

template <>
struct Catch::StringMaker<weft::Loss> {
  static std::string convert(const weft::Loss& loss) {
    std::string text;
    for (const weft::LossTerm& term : loss.terms)
      text += (text.empty() ? "loss of " : " + ") + Catch::StringMaker<weft::Value>::convert(term.sum);
    return text.empty() ? "a loss without terms" : text;
  }
};

template <>
struct Catch::StringMaker<weft::Tensor> {
  static std::string convert(const weft::Tensor& tensor) { return tensor.empty() ? "no tensor" : tensor.type_str(); }
};

template <>
struct Catch::StringMaker<weft::OpDef> {
  static std::string convert(const weft::OpDef& op) { return "op '" + op.name + "'"; }
};

namespace weft::testing {

#if __has_include(<catch2/matchers/catch_matchers.hpp>)
/// A matcher of one type.
template <class T>
using Matcher = Catch::Matchers::MatcherBase<T>;
/// A matcher of several types: a match() for each.
using AnyMatcher = Catch::Matchers::MatcherGenericBase;
#else
template <class T>
using Matcher = Catch::MatcherBase<T>;
class AnyMatcher : public Catch::Matchers::Impl::MatcherUntypedBase {};

/// !matcher, which version 2 has for matchers of one type only.
template <class M>
class Not : public AnyMatcher {
 public:
  explicit Not(M matcher) : matcher_(std::move(matcher)) {}
  template <class T>
  bool match(const T& value) const {
    return !matcher_.match(value);
  }
  std::string describe() const override { return "not " + matcher_.describe(); }

 private:
  M matcher_;
};

template <class M>
  requires std::is_base_of_v<AnyMatcher, M>
Not<M> operator!(const M& matcher) {
  return Not<M>(matcher);
}
#endif

}  // namespace weft::testing
