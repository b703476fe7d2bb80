#include <weft/io/run_state.h>

#include <support/catch.h>
#include <support/temporary_folder.h>

using namespace weft;
using test::TemporaryFolder;

namespace {

Graph model(std::int64_t width, bool more = false) {
  Graph graph;
  graph.parameter("weight", {f32, {3, width}}, init::normal(0, 1));
  graph.parameter("bias", {f64, {width}}, init::normal(0, 1));
  graph.state("updates", {i64, {}}, init::zeros());
  if (more) graph.state("optimizer/weight", {f32, {3, width}}, init::ones());
  return graph;
}

}  // namespace

TEST_CASE("a run that is saved and loaded is the same to the bit", "[core][io]") {
  const TemporaryFolder folder;
  Store store(model(2), {.seed = 0xffffffffffffffffULL});
  store.set_runs(17);
  store.set("updates", Tensor::scalar(std::int64_t{16}));
  save_run(folder / "a", store, {{"recipe", "{\"rate\":1e-3}"}});

  Store other(model(2), {.seed = 5});
  CHECK(load_run(folder / "a", other) == Metadata{{"recipe", "{\"rate\":1e-3}"}});
  CHECK(read_run_notes(folder / "a") == Metadata{{"recipe", "{\"rate\":1e-3}"}});
  CHECK(other.seed() == store.seed());
  CHECK(other.runs() == 17);
  CHECK(other.updates() == 16);
  for (const auto& [name, cell] : store.cells()) CHECK(same_bits(cell.tensor, other.tensor(name)));
  save_run(folder / "b", other, {{"recipe", "{\"rate\":1e-3}"}});
  CHECK(test::bytes_of(folder / "a") == test::bytes_of(folder / "b"));
}

TEST_CASE("another model's save is refused by naming what differs, and the store stays", "[core][io][errors]") {
  const TemporaryFolder folder;
  save_run(folder / "a", Store(model(2, true), {.seed = 1}));
  Store store(model(4), {.seed = 2});
  const Store before = store.clone();
  CHECK_THROWS_WITH(load_run(folder / "a", store),
                    ContainsSubstring("'bias' is f64[2] in the file, f64[4] in the model") &&
                        ContainsSubstring("'optimizer/weight' is only in the file"));
  CHECK(store.seed() == 2);
  for (const auto& [name, cell] : before.cells()) CHECK(same_bits(cell.tensor, store.tensor(name)));

  Store smaller(model(2));
  CHECK_THROWS_WITH(load_run(folder / "a", smaller), ContainsSubstring("only in the file"));
  CHECK_NOTHROW(load_run(folder / "a", smaller, {.allow_unused = true}));
  CHECK(smaller.seed() == 1);
}

TEST_CASE("a file without a run in it is no saved run", "[core][io][errors]") {
  const TemporaryFolder folder;
  Store store(model(2));
  write_safetensors(folder / "plain", {});
  CHECK_THROWS_WITH(load_run(folder / "plain", store), ContainsSubstring("is not a saved run"));
  write_safetensors(folder / "version", {{}, {{"weft.run", "2"}}});
  CHECK_THROWS_WITH(load_run(folder / "version", store), ContainsSubstring("of version 2"));
  write_safetensors(folder / "seed", {{}, {{"weft.run", "1"}, {"weft.seed", "-1"}, {"weft.runs", "0"}}});
  CHECK_THROWS_WITH(load_run(folder / "seed", store), ContainsSubstring("its 'weft.seed' is '-1'"));
  CHECK_THROWS_WITH(save_run(folder / "x", store, {{"weft.mine", ""}}), ContainsSubstring("is taken"));
}
