#include <gradient_flow/models.h>

#include <cmath>

using namespace weft;

namespace test {

Built dead_relus(bool broken) {
  Net net;
  const Value up = nn::Linear(net.graph, "up", {.in = width_size, .out = 16})(net.x);
  const Value bias = net.graph.parameter("shift", {f32, {16}}, init::constant(broken ? -50 : 0));
  return net.trained(net.linear("down", net.here(relu(up + bias))));
}

Built saturated_softmax(bool broken) {
  Net net;
  const auto heads = [&](const char* path) {
    return reshape(net.linear(path, net.x), {net.x.dim(0), net.x.dim(1), 2, 4});
  };
  const Value y = net.here(attention(heads("query") * (broken ? 1e4 : 1.0), heads("key"), heads("value")));
  return net.trained(net.linear("out", reshape(y, {net.x.dim(0), net.x.dim(1), width_size})));
}

Built no_norm_at_depth_48(bool broken) {
  Net net;
  Value x = net.x;
  for (int i = 0; i < 48; ++i) {
    const auto scope = net.graph.scope(fmt::format("block/{}", i));
    const Value seen = broken ? x : nn::LayerNorm(net.graph, "norm", {.width = width_size})(x);
    const nn::Linear up(net.graph, "up", {.in = width_size, .out = 32, .init = init::normal(0, 0.35)});
    const nn::Linear down(net.graph, "down", {.in = 32, .out = width_size, .init = init::normal(0, 0.2)});
    x = net.here(x + down(relu(up(seen))));
  }
  return net.trained(net.linear("out", broken ? x : nn::LayerNorm(net.graph, "norm", {.width = width_size})(x)));
}

Built deep_sigmoids(bool broken) {
  Net net;
  Value x = net.x;
  for (int i = 0; i < 24; ++i) {
    const auto scope = net.graph.scope(fmt::format("layer/{}", i));
    const Value y = net.linear("linear", x);
    x = broken ? net.here(sigmoid(y)) : x + tanh(y);
  }
  return net.trained(net.linear("out", x));
}

Built large_weights(bool broken) {
  Net net;
  Value x = nn::Linear(net.graph, "in", {.in = width_size, .out = 32})(net.x);
  for (int i = 0; i < 12; ++i) {
    const auto scope = net.graph.scope(fmt::format("layer/{}", i));
    const double deviation = broken ? 1 : std::sqrt(2.0 / 32);
    x = net.here(relu(nn::Linear(net.graph, "linear", {.in = 32, .out = 32, .init = init::normal(0, deviation)})(x)));
  }
  return net.trained(net.linear("out", x));
}

Built f16_underflow(bool broken) {
  Net net;
  const Value y = net.linear("out", gelu(net.linear("in", net.x)));
  const Loss loss = weighted_mean(net.here(mse_losses(y, net.target)) * 1e-6);
  const Step step = training_step(loss) | mixed_precision(f16);
  return {(broken ? step : step | scale_loss(static_scale(65536 * 16))) | optimize(adamw({.rate = 1e-3})),
          net.here.str()};
}

Built norm_of_nothing(bool broken) {
  Net net;
  // A branch that starts at zero, as residual branches may.
  const Value x = nn::Linear(net.graph, "in", {.in = width_size, .out = width_size, .init = init::zeros()})(net.x);
  const Value length = net.here(sqrt(sum(x * x, {.axes = {-1}, .keep = true}) + (broken ? 0.0 : 1e-6)));
  return net.trained(net.linear("out", net.x + x / length));
}

Built log_of_softmax(bool broken) {
  Net net;
  const Value scores = net.linear("out", net.x) * 1e4;
  const Value logs = broken ? net.here(log(softmax(scores))) : log_softmax(scores);
  return net.trained(weighted_mean(logs * softmax(net.target) * -1e-4));
}

Built two_zero_factors(bool broken) {
  Net net;
  const Initializer start = broken ? init::zeros() : init::normal(0, 0.3);
  const Value down = net.graph.parameter("adapter/down", {f32, {width_size, 2}}, start);
  const Value up = net.graph.parameter("adapter/up", {f32, {2, width_size}}, start);
  return net.trained(net.linear("out", net.x) + net.here(matmul(matmul(net.x, down), up)));
}

Built masked_out(bool broken) {
  Net net;
  const auto heads = [&](const char* path) {
    return reshape(net.linear(path, net.x), {net.x.dim(0), net.x.dim(1), 2, 4});
  };
  const Value real = full(net.graph, {net.x.dim(0), 1, 1, net.x.dim(1)}, f32, 1);  // no padding in this batch
  const Value mask = broken ? less(real, 0.5) : greater(real, 0.5);
  const Value y = net.here(attention(heads("query"), heads("key"), heads("value"), {.mask = mask}));
  return net.trained(net.x + net.linear("out", reshape(y, {net.x.dim(0), net.x.dim(1), width_size})));
}

}  // namespace test
