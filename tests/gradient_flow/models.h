// Small models that are broken in the ways in which people break them, each with its healthy twin. The tests beside say
// by what each is found, and that the twin passes.
#pragma once

#include <weft/weft.h>

#include <source_location>
#include <string>

namespace test {

/// A step, and the line of the model where its fault is (or would be): "models.cpp:12".
struct Built {
  weft::Step step;
  std::string where;
};

using Builder = Built (*)(bool broken);

// What is read off the graph (models.cpp).
Built frozen_block(bool broken);             ///< a stop_gradient left between two blocks
Built detached_residual(bool broken);        ///< the residual stream detached, branches only
Built rounded_hidden(bool broken);           ///< quantised without a straight-through estimator
Built hard_gate(bool broken);                ///< a comparison where a sigmoid should be
Built hard_routing(bool broken);             ///< argmax chooses the expert
Built times_zero(bool broken);               ///< a branch with factor 0
Built softmax_over_one(bool broken);         ///< pooling weights: softmax over the axis of extent 1
Built forgotten_layer(bool broken);          ///< its result is never used
Built detached_head(bool broken);            ///< the loss reads a value that integers went through
Built mixing_reshape(bool broken);           ///< [batch, time, ..] reshaped, not transposed, to [time, batch, ..]
Built broadcast_loss(bool broken);           ///< [batch, 1] against [batch]: every prediction against every target
Built norm_over_batch(bool broken);          ///< statistics over the examples
Built layer_run_twice(bool broken);          ///< the same computation built twice
Built parameter_twice(bool broken);          ///< two layers under one path
Built parameter_without_group(bool broken);  ///< no optimizer's pattern matches it

// What shows when they run (runs.cpp).
Built dead_relus(bool broken);           ///< a bias far below zero
Built saturated_softmax(bool broken);    ///< scores a hundred times too large
Built no_norm_at_depth_48(bool broken);  ///< residual blocks without normalisation
Built deep_sigmoids(bool broken);        ///< 24 layers of sigmoid
Built large_weights(bool broken);        ///< weights of deviation 1 at width 32, 12 layers
Built f16_underflow(bool broken);        ///< a small loss in f16 without loss scaling
Built norm_of_nothing(bool broken);      ///< x / |x| at x = 0
Built log_of_softmax(bool broken);       ///< log(softmax(x)), which underflows
Built two_zero_factors(bool broken);     ///< a low-rank adapter whose factors both start at zero
Built masked_out(bool broken);           ///< a mask the wrong way round: nobody may attend

/// Feeds of all of them: "x" and "target" [batch 4, time 6, 8] f32; what a model does not read is left out by the
/// caller.
inline constexpr std::int64_t batch_size = 4, time_size = 6, width_size = 8;

/// Remembers a line of a model.
class Line {
 public:
  weft::Value operator()(const weft::Value& value, std::source_location where = std::source_location::current()) {
    where_ = weft::str(where);
    return value;
  }
  const std::string& str() const { return where_; }

 private:
  std::string where_;
};

/// Inputs and the end of a model that gives its target's shape.
struct Net {
  weft::Graph graph;
  weft::Value x, target;
  Line here;

  Net() {
    const weft::Dim batch = graph.dim("batch", batch_size), time = graph.dim("time", time_size);
    x = graph.input("x", weft::f32, {batch, time, width_size});
    target = graph.input("target", weft::f32, {batch, time, width_size});
  }
  weft::Value linear(const char* path, const weft::Value& from,
                     std::source_location where = std::source_location::current()) {
    return weft::nn::Linear(graph, path, {.in = from.shape().extent(-1), .out = width_size}, where)(from);
  }
  Built trained(const weft::Value& y) const { return {step(weft::mse_loss(y, target)), here.str()}; }
  Built trained(const weft::Loss& loss) const { return {step(loss), here.str()}; }
  static weft::Step step(const weft::Loss& loss) {
    return weft::training_step(loss) | weft::optimize(weft::adamw({.rate = 1e-3}));
  }
};

}  // namespace test
