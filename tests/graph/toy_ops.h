// Small ops for the tests of graph/, written as a user would write them. None of them runs.
#pragma once

#include <weft/graph/graph.h>
#include <weft/graph/sources.h>
#include <weft/graph/step.h>

#include <cstring>

namespace toy {

using namespace weft;

inline void never_runs(KernelContext&) {}

inline std::vector<BatchState> first_state(const OpView& view, std::span<const BatchState> in) {
  return std::vector<BatchState>(view.out.size(), in[0]);
}

// y = -x
inline const OpDef& negate_op() {
  static const OpDef op{.name = "negate",
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .batch = first_state,
                        .traits = {.pointwise = true},
                        .kernels = {{.run = never_runs}},
                        .samples = {{{sample::normal({3})}}}};
  return op;
}

// y = a + b, broadcast
inline const OpDef& plus_op() {
  static const OpDef op{
      .name = "plus",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer =
          [](const OpView& view) {
            return std::vector<TensorType>{{view.type(0).dtype, broadcast(view.shape(0), view.shape(1))}};
          },
      .batch =
          [](const OpView& view, std::span<const BatchState> in) {
            const std::size_t from = in[0].in_shape() ? 0 : 1;
            const int shift = view.out_type(0).shape.rank() - view.shape(static_cast<int>(from)).rank();
            return std::vector{in[from].in_shape() ? in[from].moved_to(in[from].axis + shift) : in[from]};
          },
      .traits = {.pointwise = true}};
  return op;
}

// The same bytes under attribute "shape".
inline const OpDef& view_as_op() {
  static const OpDef op{
      .name = "view_as",
      .infer =
          [](const OpView& view) {
            const Shape& shape = view.attributes.shape("shape");
            WEFT_CHECK(shape.count() == view.type(0).count(), "{} does not have as many elements as {}", shape.str(),
                       view.type(0).str());
            return std::vector<TensorType>{{view.type(0).dtype, shape}};
          },
      .batch = [](const OpView& view, std::span<const BatchState> in) -> std::vector<BatchState> {
        const BatchState place = locate_batch(view.out_type(0).shape, Symbol("batch"));
        return {place.in_shape() || in[0].kind == BatchState::Kind::free ? place : BatchState::mixed()};
      },
      .traits = {.view = true}};
  return op;
}

// Ones of attribute "shape".
inline const OpDef& fill_op() {
  static const OpDef op{
      .name = "fill",
      .least_inputs = 0,
      .most_inputs = 0,
      .infer = [](const OpView& view) { return std::vector<TensorType>{{f32, view.attributes.shape("shape")}}; },
      .batch =
          [](const OpView& view, std::span<const BatchState>) {
            return std::vector{locate_batch(view.out_type(0).shape, Symbol("batch"))};
          }};
  return op;
}

// Halves along the last axis.
inline const OpDef& halves_op() {
  static const OpDef op{.name = "halves",
                        .outputs = {"low", "high"},
                        .infer =
                            [](const OpView& view) {
                              TensorType half = view.type(0);
                              half.shape[-1] = half.shape[-1] / 2;
                              return std::vector{half, half};
                            },
                        .batch = first_state};
  return op;
}

// x with noise
inline const OpDef& noise_op() {
  static const OpDef op{.name = "noise",
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .batch = first_state,
                        .traits = {.random = true}};
  return op;
}

inline Value apply(const OpDef& op, const std::vector<Arg>& args, Attributes attributes = {}) {
  Values operands;
  for (const Arg& arg : args) operands.push_back(arg.value());
  return args.front().value().graph().apply(op, operands, std::move(attributes), args.front().where()).front();
}

inline Value negate(const Arg& x) { return apply(negate_op(), {x}); }
inline Value plus(const Arg& a, const Arg& b) { return apply(plus_op(), {a, b}); }
inline Value noise(const Arg& x) { return apply(noise_op(), {x}); }
inline Value view_as(const Arg& x, Shape shape) { return apply(view_as_op(), {x}, {{"shape", std::move(shape)}}); }
inline Value fill(Graph graph, Shape shape, std::source_location where = std::source_location::current()) {
  return graph.apply(fill_op(), {}, {{"shape", std::move(shape)}}, where).front();
}
inline Values halves(const Arg& x) { return x.value().graph().apply(halves_op(), {x.value()}, {}, x.where()); }

inline Constant numbers(const std::vector<float>& values) {
  Constant constant{{f32, {static_cast<std::int64_t>(values.size())}}, {}};
  constant.bytes.resize(constant.type.bytes());
  std::memcpy(constant.bytes.data(), values.data(), constant.bytes.size());
  return constant;
}

/// A step that only fetches.
inline Step step_of(const Graph& graph, std::vector<Fetch> fetches) {
  Step step;
  step.graph = graph;
  step.fetches = std::move(fetches);
  return step;
}

}  // namespace toy
