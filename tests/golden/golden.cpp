#include "golden.h"

#include <weft/autodiff/gradient.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/runtime/program.h>

#include <cmath>

namespace golden {

using namespace weft;

std::string difference(const std::string& what, const Tensor& got, const Tensor& want, Tolerance tolerance) {
  if (got.extents() != want.extents())
    return fmt::format("{} is {}, expected {}", what, got.type_str(), want.type_str());
  std::string worst;
  double most = 1;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(got.at(i) - want.at(i));
    const double ratio =
        got.at(i) == want.at(i) ? 0 : error / (tolerance.absolute + tolerance.relative * std::abs(want.at(i)));
    if (ratio <= most) continue;  // false for NaN
    worst = fmt::format("{}[{}] is {:.17g}, expected {:.17g}", what, i, got.at(i), want.at(i));
    most = std::isnan(ratio) ? INFINITY : ratio;
  }
  return worst;
}

Case::Case(const Safetensors& file) {
  for (const auto& [name, tensor] : file.tensors)
    if (name.starts_with("in."))
      inputs_.emplace(name.substr(3), graph_.input(name, tensor.dtype(), Shape(std::span(tensor.extents()))));
}

Value Case::in(const std::string& name) const {
  const auto found = inputs_.find(name);
  WEFT_CHECK(found != inputs_.end(), "the file has no 'in.{}'", name);
  return found->second;
}

namespace {

// Runs all values at once and compares them with the file's tensors of the same names.
std::string compare(const Safetensors& file, const std::map<std::string, Value>& values) {
  std::vector<Feed> feeds;
  for (const auto& [name, tensor] : file.tensors)
    if (name.starts_with("in.")) feeds.emplace_back(name, tensor);
  std::vector<Value> wanted;
  for (const auto& [name, value] : values) wanted.push_back(value);
  const std::vector<Tensor> got = evaluate(wanted, feeds);
  std::size_t i = 0;
  for (const auto& [name, value] : values) {
    const auto want = file.tensors.find(name);
    WEFT_CHECK(want != file.tensors.end(), "the file has no '{}'", name);
    if (std::string text = difference(name, got[i++], want->second); !text.empty()) return text;
  }
  return "";
}

void add_gradients(const Safetensors& file, const Case& inputs, const Value& total,
                   std::map<std::string, Value>& values) {
  std::vector<std::string> names;
  std::vector<Value> by;
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.starts_with("grad.")) continue;
    names.push_back(name);
    by.push_back(inputs.in(name.substr(5)));
  }
  if (by.empty()) return;
  const std::vector<Value> gradients = gradient(total, by);
  for (std::size_t i = 0; i < names.size(); ++i) values.emplace(names[i], gradients[i]);
}

}  // namespace

Check outputs(std::function<std::vector<Value>(const Case&)> build) {
  return [build = std::move(build)](const Safetensors& file) {
    const Case inputs(file);
    const std::vector<Value> results = build(inputs);
    inputs.graph().check();
    std::map<std::string, Value> values;
    Value total;
    for (std::size_t i = 0; i < results.size(); ++i) {
      values.emplace(fmt::format("out.{}", i), results[i]);
      const auto cotangent = file.tensors.find(fmt::format("cot.{}", i));
      WEFT_CHECK(cotangent != file.tensors.end(), "the file has no 'cot.{}'", i);
      const auto bytes = std::span(cotangent->second.raw(), cotangent->second.bytes());
      const Value factor = inputs.graph().constant({results[i].type(), {bytes.begin(), bytes.end()}});
      const Value term = sum(results[i] * factor);
      total = i == 0 ? term : total + term;
    }
    add_gradients(file, inputs, total, values);
    return compare(file, values);
  };
}

Check output(std::function<Value(const Case&)> build) {
  return outputs([build = std::move(build)](const Case& c) { return std::vector<Value>{build(c)}; });
}

Check named_outputs(std::function<std::map<std::string, Value>(const Case&)> build, const std::string& of) {
  return [build = std::move(build), of](const Safetensors& file) {
    const Case inputs(file);
    const std::map<std::string, Value> results = build(inputs);
    inputs.graph().check();
    std::map<std::string, Value> values;
    for (const auto& [name, value] : results) values.emplace("out." + name, value);
    add_gradients(file, inputs, results.at(of), values);
    return compare(file, values);
  };
}

}  // namespace golden
