// What docs/testing.md shows: its lines of use are cut from here, and the outputs that it shows are what the matchers
// say, up to the numbers.
#include <weft/testing/matchers.h>

#include <support/catch.h>
#include <testing/half_square.h>

#include <weft/testing/dump_divergence.h>
#include <weft/weft.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

using namespace weft;

namespace {

// Numbers depend on the processor in their last digits, lines on edits of this file.
std::string without_numbers(const std::string& text) {
  const auto digit = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
  std::string plain;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t first = text[at] == '-' ? at + 1 : at;
    if (!digit(first)) {
      plain += text[at++];
      continue;
    }
    at = std::min(text.find_first_not_of("0123456789abcdefx.", first), text.size());  // hexadecimal, or up to "1e"
    if (text[at - 1] == 'e' && at < text.size() && (text[at] == '+' || text[at] == '-') && digit(at + 1))
      at = std::min(text.find_first_not_of("0123456789", at + 1), text.size());
    plain += '#';
  }
  return plain;
}

// The document must hold this output, in a block of its own.
void documented(const std::string& output) {
  std::ifstream file(std::filesystem::path(WEFT_TESTS_DIR).parent_path() / "docs" / "testing.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  INFO("docs/testing.md should show:\n```text\n" << output << "\n```");
  const bool shown =
      without_numbers(document).find("```text\n" + without_numbers(output) + "\n```") != std::string::npos;
  CHECK(shown);
}

template <class T, class M>
void fails(const T& value, const M& matcher) {
  CHECK_FALSE(matcher.match(value));
  documented(matcher.describe());
}

// A layer of tanh and a head of 4.
struct Net {
  Graph graph;
  Value x, hidden, y;

  Net() {
    x = graph.input("x", f32, {graph.dim("batch", 8), 3});
    const Value w = graph.parameter("layer/w", {f32, {3, 5}}, init::normal(0, 1));
    hidden = tanh(matmul(x, w));
    y = matmul(hidden, graph.parameter("head/w", {f32, {5, 4}}, init::normal(0, 1)));
  }
};

Transform halve_gradients() {
  return {.name = "halve_gradients", .claim = Claim::rounding, .needs = {"gradients"}, .apply = [](Step step) {
            for (Gradient& gradient : step.gradients) gradient.value = gradient.value * 0.5;
            return step;
          }};
}

}  // namespace

TEST_CASE("docs/testing.md: gradients", "[testing][docs]") {
  const Net net;
  const Step step = training_step(weighted_mean(square(net.y)));
  CHECK_THAT(step, GradientsMatch());
  CHECK_THAT(step, GradientsFlow(1e-8));
  fails(training_step(weighted_mean(build(half_square_op(), {net.y}))), GradientsMatch());

  const Value head = net.graph.find_name("head/w");
  const Value dead = relu(net.hidden - 10.0);
  fails(training_step(weighted_mean(matmul(dead, head) + 1.0)), GradientsFlow(1e-8));
  fails(training_step(weighted_mean(square(matmul(stop_gradient(net.hidden), head)))), GradientsFlow(1e-8));
}

TEST_CASE("docs/testing.md: transforms", "[testing][docs]") {
  const Net net;
  const Step step = training_step(weighted_mean(square(net.y)));
  CHECK_THAT(step | accumulate(2), EquivalentTo(step));
  CHECK_FALSE(EquivalentTo(step).match(step | halve_gradients()));
  const Step again = training_step(weighted_mean(square(Net().y)));
  CHECK_THAT(again, SameBits(step));
  fails(step | halve_gradients(), SameBits(step));
}

TEST_CASE("docs/testing.md: values", "[testing][docs]") {
  const Net net;
  const Step step = training_step(weighted_mean(square(net.y)));
  CHECK_THAT(step, AllFinite());
  fails(training_step(weighted_mean(log(net.y))), AllFinite());

  CHECK_THAT(net.y, ShapeIs({-1, 4}));
  fails(net.y, ShapeIs({8, 5}));

  const Tensor expected = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  Tensor found = expected.clone();
  CHECK_THAT(found, SameBits(expected));
  CHECK_THAT(found, CloseTo(expected));
  CHECK_THAT(found, AllFinite());
  found.data<float>()[3] = 4.0001F;
  fails(found, SameBits(expected));
  fails(found, CloseTo(expected));
}

TEST_CASE("docs/testing.md: ops", "[testing][docs]") {
  register_all();
  CHECK_THAT("softmax", PassesOpChecks());
  const OpCheck check = weft::testing::check_op("softmax");
  if (!check.passed()) std::cout << check.str();
  fails(half_square_op(), PassesOpChecks());
}

TEST_CASE("docs/testing.md: first divergence", "[testing][docs]") {
  const Net net;
  const Step step = training_step(weighted_mean(square(net.y)));
  const NamedTensors tensors = random_feeds(step.graph, 0);
  const std::vector<Feed> feeds = feeds_of(tensors);
  const auto found = first_divergence(step, step | mixed_precision(bf16), feeds, {.relative = 1e-3});
  if (found) documented(found->str());
  CHECK(found);
  CHECK_FALSE(first_divergence_of_threads(step, feeds, {1, 2, 4}));

  const Safetensors dump{.tensors = {{"encoder.hidden", Tensor(f32, {8, 5})}, {"encoder.extra", Tensor(f32, {1})}},
                         .metadata = {}};
  const DumpComparison result = compare_with_dump(
      step, feeds, dump, {.names = {{"encoder.hidden", "tanh"}, {"encoder.*.w", "*/w"}}, .relative = 1e-5});
  CHECK_FALSE(result.passed());
  documented(result.str());
}
