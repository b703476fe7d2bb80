#include <optim/gradient_chain.h>
#include <weft/inspect/gradients/gradient_history.h>

#include <nlohmann/json.hpp>

#include <support/catch.h>

#include <algorithm>
#include <limits>
#include <string>

using namespace weft;
using namespace weft::test;

TEST_CASE("the report's numbers are those of the gradients, counted plainly in double",
          "[core][optim][gradient_report]") {
  const Chain model(3);
  const Tensor x = Chain::feed();
  const Step step = training_step(model.loss) | fetch_gradients() | optimize(sgd({.rate = 0.1})) | tap_gradients();
  Store before(step, {.seed = 1});
  const Run run(step, {{"x", x}});
  const GradientReport report = run.report();
  REQUIRE(report.parameters.size() == 6);
  double squares = 0;
  for (const GradientReport::Parameter& row : report.parameters) {
    INFO(row.path);
    const std::vector<double> g = doubles(run.result.tensor("gradient/" + row.path));
    const std::vector<double> w = doubles(before.tensor(row.path)), after = doubles(run.store.tensor(row.path));
    double sum = 0, largest = 0;
    std::vector<double> moved;
    for (std::size_t i = 0; i < g.size(); ++i) {
      sum += g[i];
      largest = std::max(largest, std::abs(g[i]));
      moved.push_back(after[i] - w[i]);
    }
    const auto n = static_cast<double>(g.size());
    CHECK(row.elements == static_cast<std::int64_t>(g.size()));
    CHECK(row.norm == Approx(norm_of(g)).epsilon(1e-6));
    CHECK(row.mean == Approx(sum / n).epsilon(1e-5).margin(1e-9));
    CHECK(row.largest == largest);
    CHECK(row.zeros == static_cast<double>(std::ranges::count(g, 0.0)) / n);
    CHECK(row.not_finite == 0);
    CHECK(row.weight_norm == Approx(norm_of(w)).epsilon(1e-6));
    CHECK(row.update_ratio == Approx(norm_of(moved) / norm_of(w)).epsilon(1e-4));
    squares += row.norm * row.norm;
  }
  CHECK(report.norm == Approx(std::sqrt(squares)));
  CHECK(report.norm == Approx(run.result.scalar("grad_norm")));
  CHECK(report.loss == run.result.scalar("loss"));
  const auto &weight = report.parameter("layer/1/weight"), &bias = report.parameter("layer/1/bias");
  const auto& block = report.block("layer/1");
  CHECK(block.norm == Approx(std::hypot(weight.norm, bias.norm)));
  CHECK(block.mean == Approx((36 * weight.mean + 6 * bias.mean) / 42));
  CHECK(block.largest == std::max(weight.largest, bias.largest));
  CHECK(report.healthy());
}

TEST_CASE("gains are norms of the cotangents between blocks, as a gradient by hand gives them",
          "[core][optim][gradient_report]") {
  Chain model(3);
  // The same chain, where the values between the blocks are parameters: their gradients are the cotangents.
  std::vector<Value> between;
  for (int i = 0; i < 3; ++i) between.push_back(model.graph.find_name(fmt::format("layer/{}/tanh", i)));
  const Tensor x = Chain::feed();
  const Step step = training_step(model.loss);
  Graph graph = step.graph.clone();
  std::vector<Value> sums, wanted;
  const Value total = graph.find(step.loss_value);
  for (const Value& value : between) wanted.push_back(graph.find(value));
  const std::vector<Tensor> cotangents = evaluate(gradient(total, wanted), std::vector<Feed>{{"x", x}}, 1);
  const Run run(step | tap_gradients(), {{"x", x}});
  const GradientReport report = run.report();
  for (int i = 0; i < 3; ++i)
    CHECK(report.block(fmt::format("layer/{}", i)).gives ==
          Approx(norm_of(doubles(cotangents[static_cast<std::size_t>(i)]))).epsilon(1e-5));
  CHECK(std::isnan(report.block("layer/0").reads));  // only the input, which does not learn
  CHECK(report.block("layer/2").reads == Approx(report.block("layer/1").gives));
  CHECK(report.block("layer/2").gain == Approx(report.block("layer/1").gives / report.block("layer/2").gives));
}

TEST_CASE("scaling, micro-batches, low precision and their order leave the report as it is",
          "[optim][gradient_report]") {
  Graph graph;
  const nn::Gpt model = gpt(graph, 0, 1);
  const Loss loss = loss_of(graph, model);
  const Text text;
  const GradientReport plain = Run(training_step(loss) | optimize(sgd()) | tap_gradients(), text.feeds()).report();
  struct Case {
    std::string name;
    Step step;
    double epsilon;
  };
  const std::vector<Case> cases{
      {"scaled, before anybody unscales",
       training_step(loss) | scale_loss(dynamic_scale()) | tap_gradients() | optimize(sgd()), 1e-4},
      {"accumulated", training_step(loss) | accumulate(2) | optimize(sgd()) | tap_gradients(), 1e-4},
      {"both", training_step(loss) | scale_loss(static_scale(4096)) | accumulate(4) | tap_gradients() | optimize(sgd()),
       1e-4},
      {"bf16",
       training_step(loss) | mixed_precision(bf16) | scale_loss(static_scale(64)) | accumulate(2) | optimize(sgd()) |
           tap_gradients(),
       0.05},
      {"checkpointed", training_step(loss) | optimize(sgd()) | tap_gradients() | checkpoint(every_block()), 1e-4},
  };
  for (const Case& each : cases) {
    INFO(each.name);
    const GradientReport report = Run(each.step, text.feeds()).report();
    REQUIRE(report.parameters.size() == plain.parameters.size());
    for (std::size_t i = 0; i < plain.parameters.size(); ++i) {
      const auto &got = report.parameters[i], &expected = plain.parameters[i];
      INFO(got.path);
      CHECK(got.path == expected.path);
      CHECK(got.norm == Approx(expected.norm).epsilon(each.epsilon).margin(each.epsilon * plain.norm));
      if (!std::isnan(expected.arrives + got.arrives))
        CHECK(got.arrives == Approx(expected.arrives).epsilon(each.epsilon));
      CHECK(got.largest == Approx(expected.largest).epsilon(10 * each.epsilon).margin(each.epsilon * plain.norm));
    }
    for (const auto& block : plain.blocks) {
      INFO(block.name);
      CHECK(report.block(block.name).gives == Approx(block.gives).epsilon(each.epsilon));
      if (std::isnan(block.gain)) CHECK(std::isnan(report.block(block.name).gain));
      else CHECK(report.block(block.name).gain == Approx(block.gain).epsilon(each.epsilon));
    }
  }
}

TEST_CASE("a report changes no bits, and remove_taps takes it out to the last byte", "[core][optim][gradient_report]") {
  Graph graph;
  const nn::Gpt model = gpt(graph, 0.2, 1);
  const Loss loss = loss_of(graph, model);
  const Text text;
  const Step plain = training_step(loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2}));
  const Step micro =
      training_step(loss) | scale_loss(dynamic_scale()) | accumulate(2) | optimize(adamw({.rate = 1e-2}));
  for (const Step& step : {plain, micro}) {
    const Step watched = step | tap_gradients();
    Store a(step, {.seed = 2}), b(watched, {.seed = 2});
    Program one(step, a), other(watched, b);
    for (int i = 0; i < 3; ++i) {
      const Result x = one.run(text.feeds()), y = other.run(text.feeds());
      CHECK(same_bits(x.tensor("loss"), y.tensor("loss")));
      CHECK(same_bits(x.tensor("grad_norm"), y.tensor("grad_norm")));
    }
    for (const auto& [path, cell] : a.cells()) {
      INFO(path);
      CHECK(same_bits(cell.tensor, b.tensor(path)));
    }
    const Step removed = watched | remove_taps();
    CHECK(removed.graph.size() == step.graph.size());
    const Plan before = plan(step), after = plan(removed);
    CHECK(after.arena_bytes == before.arena_bytes);
    CHECK(after.total_bytes() == before.total_bytes());
    CHECK(after.str() == before.str());
    CHECK_THROWS_WITH(gradient_report(one.run(text.feeds()), step), ContainsSubstring("hint: step | tap_gradients()"));
  }
}

TEST_CASE("a report is proven to change nothing", "[optim][gradient_report]") {
  const Chain model(2);
  const Step step = training_step(model.loss) | scale_loss(static_scale(8)) | accumulate(2) | optimize(sgd());
  const Equivalence result = verify_equivalent(step, step | tap_gradients());
  INFO(result.str());
  CHECK(result.passed());
}

TEST_CASE("NaN in a gradient is a verdict, and its numbers are null in JSON", "[core][optim][gradient_report]") {
  Graph graph;
  const Value x = graph.input("x", f32, {8, 6}), w = graph.parameter("w", {f32, {6}}, init::zeros());
  Tensor feed = Chain::feed();
  const GradientReport report =
      Run(training_step(Loss(sum(sqrt(w * w) * x))) | tap_gradients(), {{"x", feed}}).report();
  REQUIRE(report.of(Verdict::Kind::not_finite).size() == 1);
  CHECK(report.parameter("w").not_finite == 1);
  CHECK(report.of(Verdict::Kind::no_flow).empty());
  const std::string lines = report.json_lines(12);
  std::size_t count = 0, nulls = 0;
  for (std::size_t at = 0; at < lines.size(); ++count) {
    const std::size_t end = lines.find('\n', at);
    REQUIRE(end != std::string::npos);
    const nlohmann::json line = nlohmann::json::parse(lines.substr(at, end - at));
    CHECK(line.at("step") == 12);
    if (line.at("kind") == "parameter") nulls += line.at("norm").is_null();
    if (line.at("kind") == "verdict") CHECK(line.at("verdict") == "not_finite");
    at = end + 1;
  }
  CHECK(count == 1 + report.blocks.size() + report.parameters.size() + report.units.size() + report.rows.size() +
                     report.verdicts.size());
  CHECK(nulls == 1);
}

TEST_CASE("a loss that is not finite is a verdict although its gradients are, and no infinity cancels",
          "[core][optim][gradient_report]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {3}}, init::ones());
  const Value x = graph.input("x", f32, {3}), scale = graph.input("scale", f32, {});
  const Step step = training_step(Loss(sum(w * x) + exp(scale))) | tap_gradients();
  Store store(step);
  Program program(step, store);
  Tensor ones(f32, {3}), number(f32, {});
  std::fill_n(ones.data<float>(), 3, 1.0F);
  *number.data<float>() = 1000;  // exp is infinite
  const GradientReport report = gradient_report(program.run({{"x", ones}, {"scale", number}}), step);
  REQUIRE(report.verdicts.size() == 1);
  CHECK(report.verdicts.front().kind == Verdict::Kind::not_finite);
  CHECK_THAT(report.verdicts.front().str(), ContainsSubstring("(gradient_report_test.cpp:") &&
                                                ContainsSubstring("the loss is infinite; hint: first_nonfinite("));

  ones.data<float>()[1] = std::numeric_limits<float>::infinity();
  *number.data<float>() = 0;
  const GradientReport infinite = gradient_report(program.run({{"x", ones}, {"scale", number}}), step);
  CHECK_FALSE(infinite.parameter("w").cancels);
  CHECK(std::ranges::count(infinite.verdicts, Verdict::Kind::not_finite, &Verdict::kind) == 2);  // the loss, and w
}

TEST_CASE("the JSON lines hold what the table holds", "[core][optim][gradient_report]") {
  const Chain model(2);
  const Tensor x = Chain::feed();
  const GradientReport report = Run(training_step(model.loss) | optimize(sgd()) | tap_gradients(), {{"x", x}}).report();
  const std::string lines = report.json_lines(1);
  const nlohmann::json first = nlohmann::json::parse(lines.substr(0, lines.find('\n')));
  CHECK(first.at("kind") == "step");
  CHECK(first.at("norm").get<double>() == report.norm);
  CHECK(first.at("healthy") == true);
  const std::string text = report.str();
  CHECK_THAT(text, ContainsSubstring("layer/0/weight") && ContainsSubstring("update/w") && ContainsSubstring("gain"));
}

TEST_CASE("a history draws a curve a block over its steps", "[core][optim][gradient_report]") {
  const Chain model(3);
  const Step step = training_step(model.loss) | optimize(sgd({.rate = 0.05})) | tap_gradients();
  Store store(step, {.seed = 1});
  Program program(step, store);
  GradientHistory history;
  CHECK_THROWS_WITH(history.svg(), ContainsSubstring("no report was added"));
  for (std::int64_t s = 0; s < 5; ++s) {
    const Tensor x = Chain::feed(static_cast<std::uint32_t>(s));
    history.add(10 * s, gradient_report(program.run({{"x", x}}), step));
  }
  CHECK_THROWS_WITH(history.add(40, GradientReport{}), ContainsSubstring("step 40 was given after step 40"));
  REQUIRE(history.curves().size() == 3);
  CHECK(history.curves()[1].block == "layer/1");
  CHECK(history.curves()[1].norms.size() == 5);
  const std::string svg = history.svg("norms <of> this");
  CHECK(svg.starts_with("<svg ") == true);
  CHECK(svg.ends_with("</svg>\n"));
  CHECK_THAT(svg, ContainsSubstring("norms &lt;of&gt; this") && ContainsSubstring("<title>layer/2</title>") &&
                      ContainsSubstring(">1e"));
  CHECK_THAT(svg, !ContainsSubstring("nan") && !ContainsSubstring("inf"));
  // Highest norm is drawn highest: the last point of each curve.
  auto last_y = [&](const std::string& block) {
    const std::size_t end =
        svg.find("\" fill=\"none\"", svg.rfind("<path d=\"M84.0", svg.find("<title>" + block + "</title>")));
    const std::size_t space = svg.rfind(' ', end);
    return std::stod(svg.substr(space + 1, end - space - 1));
  };
  const auto& curves = history.curves();
  const bool first_is_larger = curves[0].norms.back() > curves[2].norms.back();
  CHECK((last_y("layer/0") < last_y("layer/2")) == first_is_larger);
}

TEST_CASE("mistakes around a report are said", "[core][optim][gradient_report][errors]") {
  const Chain model(2);
  const Step step = training_step(model.loss) | tap_gradients();
  CHECK_THROWS_WITH(
      step | tap_gradients(),
      ContainsSubstring("gradient_report_test.cpp:") &&
          ContainsSubstring(
              "publishes 'flow/factor' already; hint: it is tapped: take that out first, step | remove_taps()"));
  CHECK_THROWS_WITH(training_step(model.loss) | fetch("flow/factor", model.x) | tap_gradients(),
                    ContainsSubstring("hint: a fetch of yours has that name, which a tap needs: give it another"));
  CHECK_THROWS_WITH(tap_gradients({.closed_below = 2}), ContainsSubstring("closed_below must be in [0, 1), got 2"));
  CHECK_THROWS_WITH(evaluation(model.loss) | tap_gradients(), ContainsSubstring("tap_gradients needs"));
  CHECK_THROWS_WITH(training_step(model.loss) | optimize(sgd()) | checkpoint(every_block()) | tap_gradients(),
                    ContainsSubstring("tap_gradients"));
  CHECK_THROWS_WITH(step | mixed_precision(bf16), ContainsSubstring("mixed_precision"));
  const Tensor x = Chain::feed();
  const Run run(step, {{"x", x}});
  CHECK_THROWS_WITH(run.report().parameter("layer/7/weight"),
                    ContainsSubstring("no gradient of 'layer/7/weight'; hint: the first of 4 are"));
  CHECK_THROWS_WITH(run.report().block("layer/7"), ContainsSubstring("no block 'layer/7'"));
  const Run other(training_step(model.loss), {{"x", x}});
  CHECK_THROWS_WITH(gradient_report(other.result, step), ContainsSubstring("gradient_report_test.cpp:") &&
                                                             ContainsSubstring("the result has no 'flow/gradient/"));
}
