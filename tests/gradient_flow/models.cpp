#include <gradient_flow/models.h>

using namespace weft;

namespace test {

Built frozen_block(bool broken) {
  Net net;
  Value x = net.x;
  for (int i = 0; i < 3; ++i) {
    x = nn::Block(net.graph, fmt::format("decoder/{}", i), {.width = width_size, .heads = 2})(x);
    if (i == 1) x = broken ? net.here(stop_gradient(x)) : net.here(x);
  }
  return net.trained(x);
}

Built detached_residual(bool broken) {
  Net net;
  Value x = net.linear("in", net.x);
  const Value branch = net.linear("branch", gelu(x));
  x = broken ? net.here(stop_gradient(x)) + branch : x + branch;
  return net.trained(net.linear("out", x));
}

Built rounded_hidden(bool broken) {
  Net net;
  const Value hidden = net.linear("in", net.x);
  const Value rounded = net.here(cast(cast(hidden * 8.0, i32), f32)) / 8.0;
  return net.trained(net.linear("out", broken ? rounded : hidden + stop_gradient(rounded - hidden)));
}

Built hard_gate(bool broken) {
  Net net;
  const Value score = net.linear("gate", net.x), value = net.linear("value", net.x);
  const Value gate = broken ? cast(net.here(greater(score, 0.0)), f32) : sigmoid(score);
  return net.trained(net.linear("out", gate * value));
}

Built hard_routing(bool broken) {
  Net net;
  const Value scores = nn::Linear(net.graph, "router", {.in = width_size, .out = 2})(net.x);
  const Value share = broken ? one_hot(net.here(argmax(scores, -1)), 2) : softmax(scores);
  const std::vector<Value> shares = split(share, 2, -1);
  return net.trained(shares[0] * net.linear("expert/0", net.x) + shares[1] * net.linear("expert/1", net.x));
}

Built times_zero(bool broken) {
  Net net;
  const Value branch = net.linear("branch", gelu(net.x));
  return net.trained(net.linear("out", net.x) + net.here(branch * (broken ? 0.0 : 0.5)));
}

Built softmax_over_one(bool broken) {
  Net net;
  const Value scores = nn::Linear(net.graph, "score", {.in = width_size, .out = 1})(net.x);  // [batch, time, 1]
  const Value weights = net.here(softmax(scores, broken ? -1 : -2));
  return net.trained(net.linear("out", net.x + sum(weights * net.linear("value", net.x), {.axes = {1}, .keep = true})));
}

Built forgotten_layer(bool broken) {
  Net net;
  Value x = net.linear("first", net.x);
  const Value second = net.here(gelu(net.linear("second", x)));
  if (!broken) x = second;
  return net.trained(net.linear("out", x));
}

Built detached_head(bool broken) {
  Net net;
  const Value y = net.linear("out", gelu(net.linear("in", net.x)));
  return net.trained(broken ? net.here(floor(y)) : y);
}

Built mixing_reshape(bool broken) {
  Net net;
  const Value x = net.linear("in", net.x);
  const Dim batch = net.x.dim(0), time = net.x.dim(1);
  const Value turned = broken ? net.here(reshape(x, {time, batch, width_size})) : transpose(x, {1, 0, 2});
  return net.trained(transpose(net.linear("out", gelu(turned)), {1, 0, 2}));
}

Built broadcast_loss(bool broken) {
  Net net;
  const Value y = nn::Linear(net.graph, "out", {.in = width_size, .out = 1})(mean(net.x, {.axes = {1}}));  // [batch, 1]
  const Value target = mean(net.target, {.axes = {1, 2}, .keep = false});                                  // [batch]
  const Value error = net.here(broken ? y - target : y - reshape(target, {net.x.dim(0), 1}));
  return net.trained(weighted_mean(error * error));
}

Built norm_over_batch(bool broken) {
  Net net;
  const Value x = net.linear("in", net.x);
  const Value center = net.here(mean(x, {.axes = {broken ? 0 : 1}, .keep = true}));
  return net.trained(net.linear("out", x - center));
}

Built layer_run_twice(bool broken) {
  Net net;
  const nn::Linear layer(net.graph, "layer", {.in = width_size, .out = width_size});
  const Value first = gelu(layer(net.x));
  const Value again = net.here(broken ? gelu(layer(net.x)) : first);
  return net.trained(net.linear("out", first * sigmoid(again)));
}

Built parameter_twice(bool broken) {
  Net net;
  const Value first = net.linear("layer/0", net.x);
  net.here(first);
  return net.trained(net.linear(broken ? "layer/0" : "layer/1", first));
}

Built parameter_without_group(bool broken) {
  Net net;
  const Value y = net.linear("head", net.linear("body", net.x));
  std::vector<OptimizerGroup> groups{{"body/**", adamw({.rate = 1e-3})}};
  if (!broken) groups.push_back({"head/**", sgd({.rate = 1e-2})});
  return {training_step(mse_loss(y, net.target)) | optimize(groups), net.here.str()};
}

}  // namespace test
