#include <weft/autodiff/gradient.h>
#include <weft/inspect/op/sample_run.h>

#include <weft/autodiff/plain_outputs.h>
#include <weft/graph/at_batch.h>
#include <weft/graph/sources.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/random.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>

namespace weft {
namespace {

DType dtype_for(const OpDef& op, std::size_t i, const SampleInput& input, DType dtype) {
  if (input.dtype) return *input.dtype;
  if (input.fill == SampleInput::Fill::integers) return i64;
  if (input.fill == SampleInput::Fill::booleans) return boolean;
  if ((input.wide || is_wide(op, static_cast<int>(i))) && (dtype == bf16 || dtype == f16)) return f32;
  return dtype;
}

Tensor fill(const OpDef& op, const SampleInput& input, std::size_t index, DType dtype) {
  Tensor drawn(f64, input.extents);
  double* x = drawn.data<double>();
  const std::int64_t n = drawn.size();
  const RandomKey key = random_key(7, static_cast<std::uint32_t>(index));
  const bool gaussian = input.fill == SampleInput::Fill::normal || input.fill == SampleInput::Fill::extremes;
  if (gaussian) normal_fill(x, n, 0, key, 0);
  else uniform_fill(x, n, 0, key, 0);
  for (std::int64_t i = 0; i < n; ++i) switch (input.fill) {
      case SampleInput::Fill::normal:
        x[i] = input.low + input.high * x[i];
        break;
      case SampleInput::Fill::uniform:
        x[i] = input.low + (input.high - input.low) * x[i];
        break;
      case SampleInput::Fill::integers:
        x[i] = std::floor(input.low + (input.high - input.low) * x[i]);
        break;
      case SampleInput::Fill::ties:
        x[i] = std::floor(-3 + 7 * x[i]);
        break;
      case SampleInput::Fill::booleans:
        x[i] = x[i] < 0.5 ? 0 : 1;
        break;
      case SampleInput::Fill::extremes: {
        constexpr double inf = std::numeric_limits<double>::infinity();
        constexpr double values[] = {inf, -inf, std::numeric_limits<double>::quiet_NaN(), 1e-40, -1e-40, 1e4, -1e4,
                                     0,   -0.0};
        if (i % 2 == 0) x[i] = values[(i / 2) % 9];
        break;
      }
      case SampleInput::Fill::absent:
        break;
    }
  return drawn.cast(dtype_for(op, index, input, dtype));
}

}  // namespace

SampleRun::SampleRun(const OpDef& op, const Sample& sample, DType dtype, bool by_plain, std::source_location where)
    : op_(op), sample_(sample) {
  const auto line = graph_.scope("", where);
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    const SampleInput& input = sample.inputs[i];
    if (input.fill == SampleInput::Fill::absent) {
      operands_.emplace_back();
      continue;
    }
    Shape shape{std::span<const std::int64_t>(input.extents)};
    if (input.batch_axis >= 0) {
      batch_ = input.extents[static_cast<std::size_t>(input.batch_axis)];
      shape[input.batch_axis] = graph_.dim(batch_name, batch_);
    }
    names_.push_back(fmt::format("x{}", i));
    tensors_.push_back(fill(op, input, i, dtype));
    inputs_.push_back(&input);
    operands_.push_back(graph_.input(names_.back(), tensors_.back().dtype(), shape));
  }
  if (!by_plain) {
    outputs_ = graph_.apply(op, operands_, sample.attributes);
    return;
  }
  const Values node = graph_.apply(op, operands_, sample.attributes);  // for the output types
  if (!graph_.problems().empty()) return;
  const std::vector<TensorType> types = node.front().node().types;
  outputs_ = plain_outputs(op, {operands_, sample.attributes, types});
}

bool SampleRun::supported() const {
  if (!graph_.problems().empty()) return false;
  for (NodeId id : graph_.ids()) {
    const Node& node = graph_.node(id);
    if (node.op->traits.source || node.op->traits.view) continue;
    if (node.op->kernel(kernel_dtype(graph_.view(node)->view)) == nullptr) return false;
  }
  return true;
}

std::vector<Feed> SampleRun::feeds() const {
  std::vector<Feed> feeds;
  for (std::size_t i = 0; i < names_.size(); ++i) feeds.emplace_back(names_[i], tensors_[i]);
  return feeds;
}

void SampleRun::take_values(const SampleRun& other) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) tensors_[i] = other.tensors_[i].cast(tensors_[i].dtype());
}

std::vector<Tensor> SampleRun::run(int threads) const {
  Step step = fetching({outputs_.begin(), outputs_.end()});
  Store store(graph_);
  Program program(step, store, {.threads = threads});
  const Result result = program.run(feeds());
  std::vector<Tensor> tensors;
  for (const Value& output : outputs_) tensors.push_back(result.tensor(output.name()).clone());
  return tensors;
}

std::vector<Tensor> SampleRun::by_reference() const {
  const Node& node = outputs_.front().node();
  std::vector<std::vector<double>> numbers;
  std::size_t fed = 0;
  for (const Value& operand : operands_) {
    numbers.emplace_back();
    if (operand.absent()) continue;
    numbers.back() = doubles(tensors_[fed++]);
  }
  const std::vector<double> y = node.op->reference(graph_.view(node)->view, numbers);
  return {Tensor::of<double>(outputs_.front().shape().extents(), std::span(y))};
}

bool SampleRun::has_batch() const { return batch_ > 0; }

std::vector<Tensor> SampleRun::example(std::int64_t example) const {
  std::vector<Tensor> parts;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const int axis = inputs_[i]->batch_axis;
    const Tensor& whole = tensors_[i];
    if (axis < 0) {
      parts.push_back(whole);
      continue;
    }
    auto extents = whole.extents();
    std::size_t inner = size_of(whole.dtype());
    for (int a = axis + 1; a < whole.rank(); ++a) inner *= static_cast<std::size_t>(whole.extent(a));
    const auto n = static_cast<std::size_t>(whole.extent(axis));
    extents[static_cast<std::size_t>(axis)] = 1;
    Tensor part(whole.dtype(), extents);
    for (std::size_t outer = 0; inner > 0 && outer < part.bytes() / inner; ++outer)
      std::memcpy(part.raw() + outer * inner, whole.raw() + (outer * n + static_cast<std::size_t>(example)) * inner,
                  inner);
    parts.push_back(part);
  }
  return parts;
}

std::vector<Value> SampleRun::smooth_inputs() const {
  std::vector<Value> found;
  std::size_t fed = 0;
  for (const Value& operand : operands_) {
    if (operand.absent()) continue;
    if (inputs_[fed]->smooth && operand.dtype() == f64) found.push_back(operand);
    ++fed;
  }
  return found;
}

std::vector<Value> SampleRun::float_outputs() const {
  std::vector<Value> found;
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const auto parts = std::ranges::find_if(
        op_.parts, [&](const auto& of) { return std::ranges::find(of, static_cast<int>(k)) != of.end(); });
    if (outputs_[k].dtype() != f64) continue;
    if (parts == op_.parts.end()) found.push_back(outputs_[k]);
    else if ((*parts)[1] == static_cast<int>(k))
      found.push_back(add(outputs_[static_cast<std::size_t>((*parts)[0])], outputs_[k]));
  }
  return found;
}

SampleRun SampleRun::with(std::size_t fed, std::int64_t element, double value) const {
  SampleRun copy = *this;
  Tensor wide = tensors_[fed].cast(f64).clone();
  wide.data<double>()[element] = value;
  copy.tensors_[fed] = wide.cast(tensors_[fed].dtype());
  return copy;
}

SampleRun SampleRun::with(const std::map<std::size_t, Tensor>& others) const {
  SampleRun copy = *this;
  for (const auto& [fed, tensor] : others) copy.tensors_[fed] = tensor;
  return copy;
}

int SampleRun::fed_of(int operand) const {
  const auto at = static_cast<std::size_t>(operand);
  if (operand < 0 || at >= operands_.size() || operands_[at].absent()) return -1;
  return static_cast<int>(std::count_if(operands_.begin(), operands_.begin() + operand,
                                        [](const Value& value) { return !value.absent(); }));
}

std::vector<Value> SampleRun::differentiable_inputs() const {
  std::vector<Value> found;
  std::size_t fed = 0;
  for (const Value& operand : operands_) {
    if (operand.absent()) continue;
    if (inputs_[fed++]->smooth && is_float(operand.dtype())) found.push_back(operand);
  }
  return found;
}

std::vector<Tensor> SampleRun::cotangents() const {
  std::vector<Tensor> made;
  for (const Value& output : outputs_) {
    made.emplace_back();
    if (!is_float(output.dtype())) continue;
    Tensor drawn(f64, output.shape().extents());
    normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(8, static_cast<std::uint32_t>(made.size())), 0);
    made.back() = drawn.cast(output.dtype());
  }
  for (const auto& [first, second] : op_.parts)
    made[static_cast<std::size_t>(first)] = made[static_cast<std::size_t>(second)];
  return made;
}

std::vector<Tensor> SampleRun::gradients(const std::vector<Tensor>& cotangents) const {
  Graph graph = graph_.clone();
  std::vector<Value> outputs, fed, by;
  std::vector<Feed> all = feeds();
  std::deque<std::string> names;  // feeds point at these two
  std::deque<Tensor> cast;
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    if (!is_float(outputs_[k].dtype()) || cotangents[k].dtype() == boolean) continue;
    names.push_back(fmt::format("cotangent{}", k));
    outputs.push_back(graph.find(outputs_[k]));
    fed.push_back(graph.input(names.back(), outputs_[k].dtype(), outputs_[k].shape()));
    cast.push_back(cotangents[k].cast(outputs_[k].dtype()));
    all.emplace_back(names.back(), cast.back());
  }
  for (const Value& input : differentiable_inputs()) by.push_back(graph.find(input));
  if (outputs.empty()) return std::vector<Tensor>(by.size());
  const std::vector<Value> found = vector_jacobian(outputs, fed, by);
  Step step;
  step.graph = graph;
  for (std::size_t i = 0; i < found.size(); ++i)
    if (found[i].valid()) step.set_fetch(fmt::format("gradient {}", i), found[i]);
  std::vector<Tensor> gradients(by.size());
  Store store(graph);
  Program program(step, store);
  const Result result = program.run(all);
  for (std::size_t i = 0; i < found.size(); ++i)
    if (found[i].valid()) gradients[i] = result.tensor(fmt::format("gradient {}", i)).clone();
  return gradients;
}

}  // namespace weft
