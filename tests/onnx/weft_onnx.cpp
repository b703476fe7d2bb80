// weft_onnx [--markdown] [DIR [NAME...]]: the node cases of the ONNX backend test in DIR (or those named), each a model
// with stored inputs and results. A line a case, then `N passed, N failed, N not covered`.
#include "adapters.h"
#include "report.h"

#include <weft/ops/all.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
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

int run(const std::filesystem::path& folder, const std::set<std::string>& names, bool as_markdown) {
  weft::register_all();
  const Adapters adapters = all_adapters();
  std::vector<std::filesystem::path> cases;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (std::filesystem::exists(entry.path() / "model.onnx")) cases.push_back(entry.path());
  std::ranges::sort(cases);
  Outcomes outcomes;
  bool good = true;
  for (const std::filesystem::path& path : cases) {
    const std::string name = path.filename().string();
    if (!names.empty() && !names.contains(name)) continue;
    const Outcome& outcome = outcomes[name] = run_case(adapters, path);
    good = good && outcome.kind != Outcome::Kind::failed;
    if (!as_markdown) fmt::print("{}\n", line(name, outcome));
    std::fflush(stdout);
  }
  fmt::print("{}\n", as_markdown ? markdown(outcomes) : summary(outcomes));
  return good && !outcomes.empty() ? 0 : 1;
}

}  // namespace
}  // namespace onnx_node

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const bool as_markdown = std::erase(words, "--markdown") > 0;
  const std::filesystem::path folder = words.empty() ? WEFT_ONNX_DATA : words.front();
  try {
    return onnx_node::run(folder, {words.begin() + (words.empty() ? 0 : 1), words.end()}, as_markdown);
  } catch (const std::exception& error) {
    fmt::print(stderr, "weft_onnx: {}\n", error.what());
    return 1;
  }
}
