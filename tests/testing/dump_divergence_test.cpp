// compare_with_dump against activations of PyTorch (data/blocks.py): a right dump, and one in which a layer is another.
#include <weft/testing/dump_divergence.h>

#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>
#include <filesystem>

using namespace weft;

namespace {

Safetensors read(const char* name) {
  return read_safetensors(std::filesystem::path(WEFT_TESTS_DIR) / "testing" / "data" / name);
}

// What the dump says of activations alone.
Safetensors activations(Safetensors all) {
  std::erase_if(all.tensors, [](const auto& entry) { return entry.first.starts_with("p.") || entry.first == "in.x"; });
  return all;
}

struct Blocks {
  Graph graph;
  std::vector<Value> attended, out;
  Safetensors file = read("blocks.safetensors");
  Step step;
  std::vector<Feed> feeds;

  Blocks() {
    graph.strict(true);
    Value x = graph.input("in.x", f32, {graph.dim("batch", 2), graph.dim("time", 5), 8});
    for (int i = 0; i < 2; ++i) {
      const auto scope = graph.scope(fmt::format("blocks/{}", i));
      const nn::LayerNorm norm_1(graph, "norm_1", {.width = 8}), norm_2(graph, "norm_2", {.width = 8});
      const nn::MultiheadAttention attention(graph, "attention", {.width = 8, .heads = 2, .causal = true});
      const nn::Linear up(graph, "up", {.in = 8, .out = 32}), down(graph, "down", {.in = 32, .out = 8});
      attended.push_back(attention(norm_1(x)));
      const Value seen = add(x, attended.back());
      x = add(seen, down(gelu(up(norm_2(seen)))));
      out.push_back(x);
    }
    step = fetching({x});
    feeds.emplace_back("in.x", file.tensors.at("in.x"));
  }

  Store store() const {
    const Store fresh(step);
    Store weights = fresh.clone();
    for (const auto& [path, cell] : fresh.cells()) {
      std::string name = "p." + path;
      std::ranges::replace(name, '/', '.');
      weights.set(path, file.tensors.at(name));
    }
    return weights;
  }

  DumpOptions options(const Store& weights) const {
    return {.names = {{"blocks.*.norm_1", "blocks/*/norm_1/layer_norm"},
                      {"blocks.*.norm_2", "blocks/*/norm_2/layer_norm"},
                      {"blocks.*.up", "blocks/*/up/linear"},
                      {"blocks.*.down", "blocks/*/down/linear"}},
            .values = {{"blocks.0.attention", attended[0]},
                       {"blocks.1.attention", attended[1]},
                       {"blocks.0", out[0]},
                       {"blocks.1", out[1]}},
            .relative = 2e-6,
            .store = &weights};
  }
};

}  // namespace

TEST_CASE("two blocks agree with the activations that PyTorch dumped, each value", "[core][testing][divergence]") {
  const Blocks model;
  const Store weights = model.store();
  const DumpComparison result =
      compare_with_dump(model.step, model.feeds, activations(model.file), model.options(weights));
  INFO(result.str());
  CHECK(result.passed());
  CHECK(result.complete());
  CHECK(result.rows.size() == 12);
  CHECK(result.rows.front().name == "blocks.0.norm_1");
  CHECK(result.rows.back().name == "blocks.1");
}

TEST_CASE("where PyTorch's second layer is another, the first node that differs is that layer's attention",
          "[core][testing][divergence]") {
  const Blocks model;
  const Store weights = model.store();
  const DumpComparison result =
      compare_with_dump(model.step, model.feeds, read("blocks_wrong.safetensors"), model.options(weights));
  REQUIRE(result.first.has_value());
  CHECK(result.first->origin == "blocks.1.attention");
  CHECK(result.first->path == model.attended[1].name());
  CHECK_THAT(result.str(), ContainsSubstring("5 of 12 values differ from the dump; the first: blocks/1/attention/") &&
                               ContainsSubstring("(dump_divergence_test.cpp:") &&
                               ContainsSubstring("stands for blocks.1.attention, of the dump: element"));
}

TEST_CASE("weights that are not the dump's show in the first node that reads them", "[core][testing][divergence]") {
  const Blocks model;
  Store weights = model.store();
  weights.tensor("blocks/0/norm_2/weight").data<float>()[3] += 0.5F;
  const DumpComparison result =
      compare_with_dump(model.step, model.feeds, activations(model.file), model.options(weights));
  REQUIRE(result.first.has_value());
  CHECK(result.first->origin == "blocks.0.norm_2");
  CHECK(result.first->extents == std::vector<std::int64_t>{2, 5, 8});
  CHECK(result.first->element % 8 == 3);
  CHECK(result.first->differing == 10);
}

TEST_CASE("each star of a name stands for its own text", "[core][testing][divergence]") {
  const Blocks model;
  const Store weights = model.store();
  const DumpComparison result = compare_with_dump(
      model.step, model.feeds, activations(model.file),
      {.names = {{"blocks.*.norm_*", "blocks/*/norm_*/layer_norm"}}, .relative = 2e-6, .store = &weights});
  CHECK(result.passed());
  CHECK(result.rows.size() == 4);
  CHECK(result.only_in_step.empty());
}

TEST_CASE("what has no counterpart is listed on both sides", "[core][testing][divergence]") {
  const Blocks model;
  const Store weights = model.store();
  const Safetensors dump = activations(model.file);
  const DumpComparison result = compare_with_dump(
      model.step, model.feeds, dump,
      {.names = {{"blocks.*.norm_1", "blocks/*/norm_1/layer_norm"}, {"h.*.up", "blocks/*/up/linear"}, {"x", "no/such"}},
       .relative = 2e-6,
       .store = &weights});
  CHECK(result.passed());
  CHECK_FALSE(result.complete());
  CHECK(result.rows.size() == 2);
  CHECK(result.only_in_dump.size() == 10);
  CHECK_THAT(result.str(), ContainsSubstring("only in the dump: blocks.0, blocks.0.attention, blocks.0.down") &&
                               ContainsSubstring("only in the step: blocks/0/up/linear (for 'h.0.up')") &&
                               ContainsSubstring("'no/such' (for 'x') matches no value"));
}

TEST_CASE("a dump of another layout is refused, all of it at once", "[core][testing][divergence][errors]") {
  const Blocks model;
  const Store weights = model.store();
  Safetensors dump = activations(model.file);
  for (const char* name : {"blocks.0.norm_1", "blocks.1.up"}) {
    Tensor& tensor = dump.tensors.at(name);
    tensor = tensor.reshaped({tensor.extent(1), tensor.extent(0), tensor.extent(2)});
  }
  CHECK_THROWS_WITH(compare_with_dump(model.step, model.feeds, dump, model.options(weights)),
                    ContainsSubstring("shapes differ") &&
                        ContainsSubstring("'blocks.0.norm_1' of the dump is f32[5, 2, 8], blocks/0/norm_1/layer_norm "
                                          "(dump_divergence_test.cpp:") &&
                        ContainsSubstring("'blocks.1.up' of the dump is f32[5, 2, 32]") &&
                        ContainsSubstring("hint: bring the tensors of the dump"));
}

TEST_CASE("a dump that names nothing of the step, and stars that do not fit, are errors",
          "[core][testing][divergence][errors]") {
  const Blocks model;
  Safetensors other;
  other.tensors["h.0.attn"] = Tensor(f32, {2});
  CHECK_THROWS_WITH(compare_with_dump(model.step, model.feeds, other),
                    ContainsSubstring("no value of the step is in the dump; the dump has h.0.attn; the step has in.x, "
                                      "blocks/0/norm_1/weight") &&
                        ContainsSubstring("hint: .names"));
  CHECK_THROWS_WITH(compare_with_dump(model.step, model.feeds, other, {.names = {{"h.*.attn", "blocks/0/x"}}}),
                    ContainsSubstring("'h.*.attn' and 'blocks/0/x' have not the same number of stars"));
}

TEST_CASE("a dump's name stands for one value, and a value for one name", "[core][testing][divergence][errors]") {
  const Blocks model;
  const Safetensors dump = activations(model.file);
  CHECK_THROWS_WITH(compare_with_dump(model.step, model.feeds, dump,
                                      {.values = {{"blocks.0", model.out[0]}, {"blocks.1", model.out[0]}}}),
                    ContainsSubstring("one value stands for 'blocks.0' and for 'blocks.1' of the dump"));
  CHECK_THROWS_WITH(compare_with_dump(model.step, model.feeds, dump,
                                      {.values = {{"blocks.0", model.out[0]}, {"blocks.0", model.out[1]}}}),
                    ContainsSubstring("'blocks.0' of the dump is to be two values"));
}

TEST_CASE("a step of micro-batches is compared by the whole batch's values", "[core][testing][divergence]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
  const Value table = tanh(graph.parameter("w", {f32, {3, 2}}, init::normal(0, 1)));  // the same in each micro-batch
  const Value y = matmul(x, table);
  const Step whole = training_step(weighted_mean(y * y)), parts = whole | accumulate(2);
  const NamedTensors tensors = random_feeds(graph, 0);
  Safetensors dump;
  dump.tensors["y"] = evaluate(y, feeds_of(tensors)).clone();
  CHECK(compare_with_dump(parts, feeds_of(tensors), dump, {.values = {{"y", y}}, .relative = 1e-6}).passed());
  dump.tensors["table"] = evaluate(table, feeds_of(tensors)).clone();
  CHECK(compare_with_dump(whole, feeds_of(tensors), dump, {.values = {{"table", table}}}).passed());
  CHECK(compare_with_dump(parts, feeds_of(tensors), dump, {.values = {{"table", table}, {"y", y}}, .relative = 1e-6})
            .rows.size() == 2);
}
