// Functions made of ops report the user's line, not their own.
#include <support/catch.h>

#include <ops/made_functions.h>
#include <weft/weft.h>

using namespace weft;

namespace {

// Lines of nodes that lie in another file than `file`.
std::string foreign_lines(const Graph& graph, std::string_view file) {
  std::string text;
  for (NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (!std::string_view(node.where.file_name()).ends_with(file)) text += node.name + " (" + str(node.where) + ") ";
  }
  return text;
}

}  // namespace

TEST_CASE("every node of a function made of ops has the line of its call", "[core][ops]") {
  for (const MadeFunction& function : made_functions()) {
    INFO(function.name);
    Graph graph;
    function.build(graph);
    CHECK(foreign_lines(graph, "made_functions.cpp") == "");
  }
}

TEST_CASE("every node of a loss and of a module has the line of its call", "[core][ops]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4);
  const Value x = graph.input("x", f32, {batch, 8}), y = graph.input("y", f32, {batch, 8});
  const Value ids = graph.input("ids", i32, {batch, 6}), classes = graph.input("classes", i32, {batch});
  mse_loss(x, y, {.weight = y});
  l1_loss(x, y);
  huber_loss(x, y);
  smooth_l1_loss(x, y);
  kl_div(log_softmax(x), softmax(y));
  soft_cross_entropy(x, softmax(y));
  cosine_similarity(x, y);
  cross_entropy(x, classes, {.label_smoothing = 0.1});
  nll_loss(log_softmax(x), classes);
  cosine_embedding_loss(x, y, graph.input("same", f32, {batch}));
  binary_cross_entropy_with_logits(x, y);
  nn::Gpt model(graph, {.vocab = 11, .layers = 1, .heads = 2, .width = 8, .context = 6, .dropout = 0.1});
  model(ids);
  CHECK(foreign_lines(graph, "lines_test.cpp") == "");
}
