#include <weft/inspect/audit/blocks.h>
#include <weft/inspect/audit/edge_flow.h>
#include <weft/weft.h>

#include <support/catch.h>

#include <algorithm>
#include <chrono>
#include <functional>

using namespace weft;

namespace {

using Kind = Finding::Kind;
using Severity = Finding::Severity;

// x [batch, 6] -> a -> between -> b, and the sum of squares.
struct Model {
  Graph graph;
  Dim batch = graph.dim("batch", 4);
  Value x = graph.input("x", f32, {batch, 6});
  Value a = parameter("a"), b = parameter("b");

  Value parameter(const std::string& name) { return graph.parameter(name, {f32, {6, 6}}, init::normal(0, 1)); }
  Audit audited(const std::function<Value(const Value&)>& between) {
    const Value h = between(linear(x, a, Value{}));
    return audit(training_step(Loss(sum(square(linear(h, b, Value{}))))));
  }
};

Finding only(const Audit& audit, Kind kind) {
  const std::vector<Finding> found = audit.of(kind);
  REQUIRE(found.size() == 1);
  return found.front();
}

nn::Gpt gpt(Graph graph, std::int64_t layers, double dropout = 0) {
  return {graph, {.vocab = 65, .layers = layers, .heads = 2, .width = 16, .context = 8, .dropout = dropout}};
}
Loss loss_of(Graph graph, const nn::Gpt& model) {
  const Dim n = graph.dim("batch", 4);
  return cross_entropy(model(graph.input("tokens", i32, {n, 8})), graph.input("targets", i32, {n, 8}));
}

}  // namespace

TEST_CASE("a block is the longest scope that ends in a number, else the first scope", "[core][optim][audit]") {
  CHECK(block_of("decoder/3/attention/query/weight") == "decoder/3");
  CHECK(block_of("stage/0/block/12/weight") == "stage/0/block/12");
  CHECK(block_of("head/inner/weight") == "head");
  CHECK(block_of("weight").empty());
  CHECK(block_of("decoder/3").empty() == false);
  CHECK(joined_blocks({"embedding", "decoder/0", "decoder/1", "decoder/2", "norm", "other/5", ""}) ==
        "embedding, decoder/0..2, norm, other/5, (top)");
}

TEST_CASE("the audit counts the paths from a parameter to the loss as a person would", "[core][optim][audit]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {3}}, init::ones()), v = graph.parameter("v", {f32, {3}}, init::ones());
  Value x = w * 2.0;  // 1 path in
  for (int i = 0; i < 3; ++i) {
    const auto scope = graph.scope(fmt::format("layer/{}", i));
    x = x + tanh(x) * v;  // two paths each
  }
  const Audit result = audit(training_step(Loss(sum(x * x))));  // x twice: 2 paths
  CHECK(result.row("w").paths == 16);
  CHECK(result.row("v").paths == 2 * (1 + 2 + 4));  // by the layer in which it enters
  CHECK(result.row("w").blocks == std::vector<std::string>{"", "layer/0", "layer/1", "layer/2"});
  CHECK(result.healthy());
  CHECK(result.complete());
  CHECK(result.findings.empty());
  CHECK_THROWS_WITH(result.row("u"), ContainsSubstring("no parameter 'u'; hint: the first of 2 are w, v"));
}

TEST_CASE("the count of paths stops at its bound", "[core][optim][audit]") {
  Graph graph;
  Value x = graph.parameter("w", {f32, {3}}, init::ones());
  for (int i = 0; i < 1100; ++i) x = x + x;
  const Audit result = audit(training_step(Loss(sum(x))));
  CHECK(result.row("w").paths == Audit::most_paths);
}

TEST_CASE("a cut without another path is an error that names the kind, the node and the line", "[core][optim][audit]") {
  struct Case {
    Kind kind;
    std::string node;
    std::function<Value(const Value&)> between;
  };
  const std::vector<Case> cases{
      {Kind::stop_gradient, "stop_gradient", [](const Value& h) { return stop_gradient(h); }},
      {Kind::integer, "cast", [](const Value& h) { return cast(cast(h, i32), f32); }},
      {Kind::integer, "argmax",
       [](const Value& h) { return cast(argmax(h, 1, true), f32) + zeros_like(stop_gradient(h)); }},
      {Kind::comparison, "greater", [](const Value& h) { return where(greater(h, 0.0), ones_like(h), zeros_like(h)); }},
      {Kind::no_derivative, "sign", [](const Value& h) { return sign(h); }},
      {Kind::no_derivative, "floor", [](const Value& h) { return floor(h); }},
      {Kind::zero_jacobian, "multiply", [](const Value& h) { return h * 0.0 + 1.0; }},
      {Kind::zero_jacobian, "subtract", [](const Value& h) { return h - h + 1.0; }},
      {Kind::zero_jacobian, "clamp", [](const Value& h) { return clamp(h, {.min = 2.0, .max = 1.0}); }},
      {Kind::zero_jacobian, "softmax",
       [](const Value& h) { return reshape(softmax(reshape(h, {-1, 1}), 1), h.shape()); }},
      {Kind::zero_jacobian, "layer_norm",
       [](const Value& h) {
         Graph graph = h.graph();
         return reshape(layer_norm(reshape(h, {-1, 1}), ones(graph, {1}), zeros(graph, {1})), h.shape());
       }},
  };
  for (const Case& each : cases) {
    INFO(each.node);
    Model model;
    const Audit result = model.audited(each.between);
    CHECK_FALSE(result.healthy());
    const Finding found = only(result, each.kind);
    CHECK(found.severity == Severity::error);
    CHECK(found.path.starts_with(each.node));
    CHECK(found.where.starts_with("audit_test.cpp:"));
    CHECK(found.parameters == std::vector<std::string>{"a"});
    CHECK(result.row("a").paths == 0);
    CHECK(result.row("b").paths > 0);
    CHECK(result.row("a").cuts.size() == 1);
    CHECK_THAT(found.str(), ContainsSubstring("a has no other path to the loss; hint:"));
    CHECK_THAT(result.str(), ContainsSubstring("error: " + found.path));
  }
}

TEST_CASE("healthy ops are not taken for cuts", "[core][optim][audit]") {
  const std::vector<std::function<Value(const Value&)>> healthy{
      [](const Value& h) { return relu(h); },
      [](const Value& h) { return clamp(h, {.min = 1.0, .max = 2.0}); },
      [](const Value& h) { return clamp(exp(h), {.min = 0.8, .max = 1.2}); },  // the ratio of PPO
      [](const Value& h) { return clamp(h, {.min = 99.0, .max = 100.0}); },
      [](const Value& h) { return clamp(h, {.min = 1e-7, .max = 1e-6}); },
      [](const Value& h) { return softmax(h, 1); },
      [](const Value& h) { return h * 1e-6; },
      [](const Value& h) { return h - h * 0.5; },
      [](const Value& h) { return sqrt(h * h + 1.0); },
      [](const Value& h) { return transpose(transpose(h, 0, 1), 0, 1); },
      [](const Value& h) {
        return concatenate({slice(h, {.axis = 1, .start = 5}), slice(h, {.axis = 1, .stop = 5})}, 1);
      },
      [](const Value& h) { return log(exp(h)); },
      [](const Value& h) { return maximum(h, 3.0); },
      [](const Value& h) { return maximum(h, 1e6); },
      [](const Value& h) { return h * relu(1.0 - mean(h)); },  // a hinge of one number
      [](const Value& h) { return h * clamp(mean(h), {.min = 0.1}); },
      [](const Value& h) { return h * maximum(mean(h), 0.3); },
      [](const Value& h) { return dropout(h, 0.5); },
      [](const Value& h) { return cast(cast(h, f16), f32); },
  };
  for (std::size_t i = 0; i < healthy.size(); ++i) {
    INFO(i);
    Model model;
    const Audit result = model.audited(healthy[i]);
    CHECK(result.healthy());
    CHECK(result.complete());
    CHECK(result.of(Kind::zero_jacobian).empty());
    CHECK(result.row("a").paths > 0);
  }
}

TEST_CASE("a derivative that is one number is not zero because it is negative", "[core][optim][audit]") {
  using Use = std::function<Value(const Value&, const Value&)>;
  const std::vector<Use> uses{[](const Value& x, const Value& s) { return x * s; },
                              [](const Value& x, const Value& s) { return x / (s + 3.0); },
                              [](const Value& x, const Value& s) { return x - s; },
                              [](const Value& x, const Value& s) { return x + -s; },
                              [](const Value& x, const Value& s) { return x * exp(s); },
                              [](const Value& x, const Value& s) { return x * exp(-s); },
                              [](const Value& x, const Value& s) { return x * tanh(s); },
                              [](const Value& x, const Value& s) { return x * (1.0 - s); },
                              [](const Value& x, const Value& s) { return x * sin(s); },
                              [](const Value& x, const Value& s) { return x * sigmoid(s); }};
  for (std::size_t i = 0; i < uses.size(); ++i) {
    INFO("use " << i);
    Model model;
    const Value s = model.graph.parameter("s", {f32, {}}, init::ones());
    CHECK(model.audited([&](const Value& h) { return uses[i](h, s); }).of(Kind::zero_jacobian).empty());
  }
}

TEST_CASE("a detached residual is found although other paths go on", "[core][optim][audit]") {
  Model model;
  const Audit result = model.audited([](const Value& h) { return stop_gradient(h) + tanh(h); });
  CHECK(result.complete());
  CHECK(result.healthy());
  const Finding found = only(result, Kind::stop_gradient);
  CHECK(found.severity == Severity::warning);
  CHECK(found.parameters == std::vector<std::string>{"a"});
  CHECK_THAT(found.message, ContainsSubstring("a path of a to the loss ends here, others go on"));
  CHECK(result.row("a").cuts == std::vector<std::size_t>{0});
  CHECK(result.row("a").cut.empty());
}

TEST_CASE("a mask by a comparison is a note", "[core][optim][audit]") {
  Model model;
  const Audit result = model.audited([](const Value& h) { return where(greater(h, 0.0), h, h * 0.1); });
  CHECK(result.healthy());
  CHECK(only(result, Kind::comparison).severity == Severity::note);
}

TEST_CASE("a path through an output that does not depend on the operand is none", "[core][optim][audit]") {
  // The number of tokens of a cross entropy is a float that no logit changes.
  Graph graph;
  const Value w = graph.parameter("w", {f32, {5, 7}}, init::normal(0, 1)),
              v = graph.parameter("v", {f32, {}}, init::ones());
  const LossTerm term = cross_entropy(w, graph.input("targets", i32, {5})).terms.front();
  if (!is_float(term.weight.dtype())) SUCCEED("the weight is a whole number");
  const Audit result = audit(training_step(Loss(cast(term.weight, f32) * v)));
  CHECK(result.row("w").paths == 0);
  CHECK_FALSE(result.row("w").reached);
  CHECK_FALSE(result.healthy());
}

TEST_CASE("unused parameters, unused outputs and duplicates are found with their lines", "[core][optim][audit]") {
  Model model;
  model.parameter("idle");
  const Value h = linear(model.x, model.a, Value{});
  tanh(exp(h));
  const Value once = relu(linear(h, model.b, Value{})), twice = relu(linear(h, model.b, Value{}));
  const Audit result = audit(training_step(Loss(sum(once * twice))));
  CHECK_FALSE(result.healthy());
  CHECK(only(result, Kind::unused_parameter).path == "idle");
  CHECK(result.row("idle").cut == "the loss does not use it");
  const Finding unused = only(result, Kind::unused_output);
  CHECK(unused.path == "tanh");
  CHECK(unused.severity == Severity::warning);
  CHECK_THAT(unused.message,
             ContainsSubstring("neither the loss nor a fetch nor an update reads it, and 1 node before it is"));
  const Finding duplicate = only(result, Kind::duplicate);
  CHECK(duplicate.path == "relu_1");
  CHECK(duplicate.severity == Severity::note);
  CHECK_THAT(duplicate.message, ContainsSubstring("computes what 'relu' (audit_test.cpp:") &&
                                    ContainsSubstring("and 1 node before it is"));
}

TEST_CASE("two dropouts of one value are no duplicates", "[core][optim][audit]") {
  Model model;
  const Audit result = model.audited([](const Value& h) { return dropout(h, 0.5) + dropout(h, 0.5); });
  CHECK(result.of(Kind::duplicate).empty());
}

TEST_CASE("a parameter that no optimizer changes is an error, a frozen one is not", "[core][optim][audit]") {
  Model model;
  const Loss loss(sum(square(linear(linear(model.x, model.a, Value{}), model.b, Value{}))));
  CHECK(audit(training_step(loss) | freeze("a") | optimize(sgd())).healthy());
  Step step = training_step(loss) | optimize(sgd());
  std::erase_if(step.updates, [](const Update& update) { return update.state.name() == "b"; });
  const Audit result = audit(step);
  CHECK_FALSE(result.healthy());
  CHECK_FALSE(result.complete());
  CHECK(only(result, Kind::not_updated).path == "b");
  CHECK_THAT(only(result, Kind::not_updated).message,
             ContainsSubstring("no optimizer changes it although others are changed"));
}

TEST_CASE("a reshape that mixes batch and time is an error, a transpose is not", "[core][optim][audit]") {
  for (const bool wrong : {true, false}) {
    Graph graph;
    const Dim n = graph.dim("batch", 4), time = graph.dim("time", 6);
    const Value x = graph.input("x", f32, {n, time, 3});
    const Value w = graph.parameter("w", {f32, {3, 3}}, init::ones());
    const Value h = linear(x, w, Value{});
    const Value turned = wrong ? reshape(h, {time, n, 3}) : transpose(h, 0, 1);  // [time, batch, 3]
    const Audit result = audit(training_step(Loss(sum(square(sum(turned, {.axes = {0}}))))));
    CHECK(result.healthy() == !wrong);
    CHECK(result.of(Kind::batch_mixed).size() == (wrong ? 1U : 0U));
    if (wrong)
      CHECK_THAT(result.of(Kind::batch_mixed).front().str(), ContainsSubstring("error: reshape (audit_test.cpp:") &&
                                                                 ContainsSubstring("transpose the axes, then reshape"));
  }
}

TEST_CASE("a norm over the batch is a note, a mean loss is nothing", "[core][optim][audit]") {
  Model model;
  const Audit result = model.audited([](const Value& h) { return h - mean(h, {.axes = {0}, .keep = true}); });
  CHECK(result.healthy());
  REQUIRE_FALSE(result.of(Kind::batch_mixed).empty());
  CHECK(result.of(Kind::batch_mixed).front().severity == Severity::note);
  Model plain;
  CHECK(audit(training_step(Loss(mean(linear(plain.x, plain.a, Value{}))))).of(Kind::batch_mixed).empty());
}

TEST_CASE("each example beside all others is a note as a product, and a warning as a broadcast that nobody wrote",
          "[core][optim][audit]") {
  for (const bool product : {true, false}) {
    Model model;
    const Audit result = model.audited([&](const Value& h) {
      const Value pairs = product ? matmul(h, transpose(h, 0, 1))
                                  : slice(h, {.axis = 1, .stop = 1}) - reshape(slice(h, {.axis = 1, .stop = 1}), {-1});
      return matmul(pairs, h);  // [batch, batch] -> [batch, 6]
    });
    INFO(result.str());
    CHECK(result.healthy());
    REQUIRE_FALSE(result.of(Kind::batch_mixed).empty());
    CHECK(result.of(Kind::batch_mixed).front().severity == (product ? Severity::note : Severity::warning));
  }
}

TEST_CASE("attention to a single key is cut at queries and keys, to two it is not", "[core][optim][audit]") {
  for (const std::int64_t keys : {1, 2}) {
    Graph graph;
    const Dim n = graph.dim("batch", 4);
    const Value x = graph.input("x", f32, {n, 5, 2, 4}), memory = graph.input("memory", f32, {n, keys, 2, 4});
    const auto scaled = [&](const char* name, const Value& value) {
      return value * graph.parameter(name, {f32, {4}}, init::ones());
    };
    const Audit result =
        audit(training_step(Loss(sum(square(attention(scaled("q", x), scaled("k", memory), scaled("v", memory)))))));
    INFO(result.str());
    CHECK(result.healthy() == (keys == 2));
    CHECK((result.row("q").paths > 0) == (keys == 2));
    CHECK((result.row("k").paths > 0) == (keys == 2));
    CHECK(result.row("v").paths > 0);
    CHECK(result.of(Kind::zero_jacobian).empty() == (keys == 2));
  }
}

TEST_CASE("a model by the book has no finding, at any place of a chain", "[core][optim][audit]") {
  Graph graph;
  const nn::Gpt model = gpt(graph, 2, 0.1);
  const Step plain = training_step(loss_of(graph, model));
  const Step whole = plain | mixed_precision(bf16) | scale_loss(dynamic_scale()) | accumulate(2) |
                     clip_global_norm(1.0) | optimize(adamw()) | checkpoint(every_block());
  for (const Step& step : {plain, whole}) {
    const Audit result = audit(step);
    INFO(result.str());
    CHECK(result.healthy());
    CHECK(result.complete());
    for (const Audit::Row& row : result.parameters) CHECK(row.paths > 0);
    for (const Finding& finding : result.findings) CHECK(finding.severity == Severity::note);
  }
  CHECK(audit(plain).findings.empty());
  CHECK(audit(plain).row("embedding/tokens/weight").blocks ==
        std::vector<std::string>{"embedding", "decoder/0", "decoder/1", "norm", "head", ""});  // "": the loss itself
}

TEST_CASE("layers that are alike share their lines, and 48 layers are audited quickly", "[core][optim][audit]") {
  Graph graph;
  const nn::Gpt model = gpt(graph, 48);
  const Step step = training_step(loss_of(graph, model)) | optimize(adamw());
  const auto start = std::chrono::steady_clock::now();
  const Audit result = audit(step);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  CHECK(seconds < 5);  // a tenth of a second on an idle machine
  CHECK(result.healthy());
  CHECK(result.row("decoder/0/attention_norm/weight").paths > 1e9);
  const std::string text = result.str();
  CHECK_THAT(text, ContainsSubstring("decoder/0..47/attention_norm/weight"));
  CHECK_THAT(text, ContainsSubstring("embedding, decoder/0..47, norm, head"));
  CHECK(std::ranges::count(text, '\n') < 100);
}

TEST_CASE("findings that one line made in each layer are one line of the report", "[core][optim][audit]") {
  Graph graph;
  Value h = graph.input("x", f32, {4, 6});
  for (int i = 0; i < 24; ++i) {
    const auto scope = graph.scope(fmt::format("layer/{}", i));
    h = stop_gradient(h) + tanh(linear(h, graph.parameter("weight", {f32, {6, 6}}, init::normal(0, 0.1)), Value{}));
  }
  const Audit result = audit(training_step(Loss(sum(h))));
  CHECK(result.of(Kind::stop_gradient).size() == 23);  // the first detaches the input, which does not learn
  CHECK_THAT(result.str(),
             ContainsSubstring("warning: layer/1/stop_gradient") && ContainsSubstring("(and 22 more of this line)"));
  CHECK_THAT(result.str(), !ContainsSubstring("layer/2/stop_gradient"));
}

TEST_CASE("an op without any backward is a cut of its own kind", "[core][optim][audit]") {
  static const OpDef op{.name = "only_forward_of_audit_test",
                        .infer = [](const OpView& v) { return std::vector{v.type(0)}; }};
  Graph graph;
  const Value w = graph.parameter("w", {f32, {3}}, init::ones());
  const Value h = w * 2.0;
  const Value y = graph.apply(op, {h}).front();
  EdgeFlows flows(graph);
  CHECK(flows.of(graph.node(y), {true}) == std::vector<EdgeFlow>{EdgeFlow::no_backward});
  CHECK(flows.of(graph.node(h), {true}).front() == EdgeFlow::flows);
}

TEST_CASE("a parameter or an update given twice is an error of the graph before any audit",
          "[core][optim][audit][errors]") {
  Model model;
  model.graph.parameter("a", {f32, {2}}, init::ones());
  CHECK_THROWS_WITH(model.graph.check(), ContainsSubstring("the name 'a' is taken: first used at audit_test.cpp:"));
  Graph graph;
  const Value s = graph.state("s", {f32, {}}, init::zeros());
  graph.update(s, s + 1.0);
  graph.update(s, s + 2.0);
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("a state can be updated once a step, this is the second update"));
}

TEST_CASE("without a backward pass the table asks no parameter for a gradient", "[core][optim][audit]") {
  Graph graph;
  const nn::Linear layer(graph, "layer", {.in = 3, .out = 2});
  const Value y = layer(graph.input("x", f32, {4, 3}));
  for (const Step& step : {evaluation(Loss(sum(y))), inference({y})}) {
    const Audit audited = audit(step);
    CHECK_FALSE(audited.differentiated);
    CHECK(audited.healthy());
    CHECK_THAT(audited.str(), ContainsSubstring("2 parameters (8 elements), no backward pass") &&
                                  !ContainsSubstring("NO") && !ContainsSubstring("<-"));
  }
  CHECK(audit(training_step(Loss(sum(y)))).differentiated);
}
