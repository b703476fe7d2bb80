// weft_onnx [DIR [NAME...]]: the node cases of the ONNX backend test in DIR (or those named), each a model with stored
// inputs and results. A line a case, then `N passed, N failed, N not covered`.
// weft_onnx --check FILE, --write FILE: all cases of this machine's ONNX; its section of docs/onnx.md must say what
// came of them, or is written.
#include "adapters.h"
#include "report.h"

#include <weft/ops/all.h>

#include <onnx/common/version.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

namespace onnx_node {
namespace {

using weft::DType;

// Numbers stored elsewhere: within a few roundings of the tensor's largest element, each element within ONNX's own
// tolerance; whole numbers, infinities and NaN are the same.
struct Tolerance {
  double of_scale, of_element;
};

Tolerance tolerance(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return {1e-9, 1e-7};
    case DType::f32:
      return {2e-5, 1e-3};
    case DType::f16:
      return {1e-3, 1e-3};
    case DType::bf16:
      return {8e-3, 8e-3};
    default:
      return {0, 0};
  }
}

std::string difference(const std::string& what, const Tensor& got, const Tensor& want, double of_scale) {
  if (got.dtype() != want.dtype() || got.extents() != want.extents())
    return fmt::format("{} is {}, expected {}", what, got.type_str(), want.type_str());
  Tolerance allowed = tolerance(want.dtype());
  if (of_scale > 0) allowed.of_scale = of_scale;
  double scale = 0;
  for (std::int64_t i = 0; i < want.size(); ++i)
    if (std::isfinite(want.at(i))) scale = std::max(scale, std::abs(want.at(i)));
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double a = got.at(i), b = want.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double error = std::abs(a - b);
    if (error <= allowed.of_scale * scale && error <= 1e-7 + allowed.of_element * std::abs(b)) continue;
    return fmt::format("{}[{}] is {:.9g}, expected {:.9g}", what, i, a, b);
  }
  return "";
}

Adapters all_adapters() {
  Adapters all;
  for (Adapters part : {pointwise_adapters(), activation_adapters(), reduce_adapters(), movement_adapters(),
                        creation_adapters(), index_adapters(), norm_adapters(), product_adapters(), loss_adapters(),
                        optimizer_adapters(), recurrent_adapters()})
    all.merge(part);
  return all;
}

void build(const Adapters& adapters, const Model& model, const Node& node, Building& building) {
  const Values values = adapters.at(node.op)(Call(building, node, model.opset));
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    if (i >= values.size()) throw NotCovered(fmt::format("output {}", i));
    building.add(node.outputs[i], values[i]);
  }
}

Outcome failed(std::string why) { return {.kind = Outcome::Kind::failed, .why = std::move(why)}; }

Outcome run_case(const Adapters& adapters, const std::filesystem::path& folder) {
  std::vector<std::string> about;
  try {
    Model model = read_model(folder / "model.onnx", about);
    const auto found = amendments().find(folder.filename().string());
    const Amendment amendment = found == amendments().end() ? Amendment{} : found->second;
    if (!amendment.attribute.empty())
      for (Node& node : model.nodes) node.attributes.emplace(amendment.attribute, amendment.value);
    for (const std::string& op : about)
      if (!adapters.contains(op)) return {Outcome::Kind::not_covered, reason(op), {op}};
    const std::filesystem::path data = folder / "test_data_set_0";
    std::vector<Tensor> inputs, wanted;
    for (std::size_t i = 0; i < model.inputs.size(); ++i)
      inputs.push_back(read_tensor(data / fmt::format("input_{}.pb", i)));
    for (std::size_t i = 0; i < model.outputs.size(); ++i)
      wanted.push_back(read_tensor(data / fmt::format("output_{}.pb", i)));
    Building building(model, inputs);
    for (const Node& node : model.nodes) {
      about = {node.op};
      build(adapters, model, node, building);
    }
    std::vector<Value> results;
    for (const std::string& name : model.outputs) results.push_back(building.value(name));
    const std::vector<Tensor> got = building.run(results);
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (std::string why = difference(model.outputs[i], got[i], wanted[i], amendment.of_scale); !why.empty())
        return failed(std::move(why));
    Outcome passed;
    for (const Node& node : model.nodes) passed.ops.push_back(node.op);
    return passed;
  } catch (const NotCovered& missing) {
    return {Outcome::Kind::not_covered, missing.what(), about};
  } catch (const std::exception& error) {
    return failed(error.what());
  }
}

int run(const std::filesystem::path& folder, const std::set<std::string>& names, Outcomes& outcomes) {
  weft::register_all();
  const Adapters adapters = all_adapters();
  std::vector<std::filesystem::path> cases;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (std::filesystem::exists(entry.path() / "model.onnx")) cases.push_back(entry.path());
  std::ranges::sort(cases);
  bool good = true;
  for (const std::filesystem::path& path : cases) {
    const std::string name = path.filename().string();
    if (!names.empty() && !names.contains(name)) continue;
    const Outcome& outcome = outcomes[name] = run_case(adapters, path);
    good = good && outcome.kind != Outcome::Kind::failed;
    fmt::print("{}\n", line(name, outcome));
    std::fflush(stdout);
  }
  fmt::print("{}\n", summary(outcomes));
  return good && !outcomes.empty() ? 0 : 1;
}

// Whether the document says what came of the cases; `write` makes it so.
int compare(const std::filesystem::path& document, const Outcomes& outcomes, bool write) {
  std::ifstream in(document, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::string wanted = renewed(text, onnx::LAST_RELEASE_VERSION, outcomes);
  if (text == wanted) return 0;
  if (write) return std::ofstream(document, std::ios::binary) << wanted ? 0 : 1;
  fmt::print("{} says otherwise of ONNX {}; hint: weft_onnx --write {}\n", document.string(),
             onnx::LAST_RELEASE_VERSION, document.string());
  return 1;
}

}  // namespace
}  // namespace onnx_node

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::string document;
  bool write = false;
  if (words.size() == 2 && (words[0] == "--check" || words[0] == "--write")) {
    write = words[0] == "--write";
    document = words[1];
    words.clear();
  }
  const std::filesystem::path folder = words.empty() ? WEFT_ONNX_DATA : words.front();
  try {
    onnx_node::Outcomes outcomes;
    const int bad = onnx_node::run(folder, {words.begin() + (words.empty() ? 0 : 1), words.end()}, outcomes);
    return document.empty() ? bad : bad | onnx_node::compare(document, outcomes, write);
  } catch (const std::exception& error) {
    fmt::print(stderr, "weft_onnx: {}\n", error.what());
    return 1;
  }
}
