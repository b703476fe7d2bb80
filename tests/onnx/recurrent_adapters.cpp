// RNN, GRU and LSTM, forward, unrolled over time: x [time, batch, in], w [1, gates n, in], r [1, gates n, n],
// b [1, 2 gates n] (of w, then of r). layout 1 has the batch first.
#include "adapters.h"

#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

namespace onnx_node {

using namespace weft;

namespace {

Value part(const Value& x, std::int64_t axis, std::int64_t i, std::int64_t n) {
  return slice(x, {.axis = axis, .start = i * n, .stop = (i + 1) * n});
}

class Recurrent {
 public:
  Recurrent(const Call& c, std::int64_t gates, std::size_t state_operand)
      : c_(c),
        swapped_(c.integer("layout", 0) != 0),
        n_(c.integer("hidden_size", 0)),
        w_(squeeze(c.in(1), 0)),
        r_(squeeze(c.in(2), 0)),
        x_(ordered(c.in(0))) {
    if (c.text("direction", "forward") != "forward" || c.has("activations")) throw NotCovered("recurrent variants");
    bias_ = c.has(3) ? squeeze(c.in(3), 0) : full(c.graph(), {2 * gates * n_}, x_.dtype(), 0);
    gates_ = gates;
    first_ = state_operand;
  }

  std::int64_t steps() const { return x_.shape().extent(0); }
  /// Initial state k: operand [1, batch, n], zeros if absent.
  Value initial(std::size_t k = 0) const {
    if (c_.has(first_ + k)) return squeeze(ordered(c_.in(first_ + k)), 0);
    return full(c_.graph(), {x_.dim(1), n_}, x_.dtype(), 0);
  }
  /// w x + its bias of gate i at time t, and r h + its bias.
  Value of_x(std::int64_t t, std::int64_t i) const {
    return linear(squeeze(part(x_, 0, t, 1), 0), part(w_, 0, i, n_), part(bias_, 0, i, n_));
  }
  Value of_h(const Value& h, std::int64_t i) const {
    return linear(h, part(r_, 0, i, n_), part(bias_, 0, gates_ + i, n_));
  }
  /// {y [time, 1, batch, n], the last states [1, batch, n]}
  Values results(const std::vector<Value>& y, const Values& last) const {
    const Value all = unsqueeze(stack(y, 0), 1);
    Values result{swapped_ ? transpose(all, {2, 0, 1, 3}) : all};
    for (const Value& state : last) result.push_back(ordered(unsqueeze(state, 0)));
    return result;
  }
  std::int64_t width() const { return n_; }

 private:
  Value ordered(const Value& x) const { return swapped_ ? transpose(x, 0, 1) : x; }

  const Call& c_;
  bool swapped_;
  std::int64_t n_, gates_ = 1;
  std::size_t first_ = 5;
  Value w_, r_, x_, bias_;
};

// seq_lens (operand 4) only ever names the full length in these cases.
void expect_full_length(const Call& c, std::int64_t steps) {
  if (!c.has(4)) return;
  for (const std::int64_t length : c.integers(4))
    if (length != steps) throw NotCovered("recurrent variants");
}

Values rnn(const Call& c) {
  const Recurrent cell(c, 1, 5);
  expect_full_length(c, cell.steps());
  Value h = cell.initial();
  std::vector<Value> y;
  for (std::int64_t t = 0; t < cell.steps(); ++t) y.push_back(h = tanh(cell.of_x(t, 0) + cell.of_h(h, 0)));
  return cell.results(y, {h});
}

// Gates: update z, reset r, candidate.
Values gru(const Call& c) {
  const Recurrent cell(c, 3, 5);
  expect_full_length(c, cell.steps());
  const bool reset_last = c.integer("linear_before_reset", 0) != 0;
  Value h = cell.initial();
  std::vector<Value> y;
  for (std::int64_t t = 0; t < cell.steps(); ++t) {
    const Value z = sigmoid(cell.of_x(t, 0) + cell.of_h(h, 0));
    const Value r = sigmoid(cell.of_x(t, 1) + cell.of_h(h, 1));
    const Value seen = reset_last ? r * cell.of_h(h, 2) : cell.of_h(r * h, 2);
    y.push_back(h = (1 - z) * tanh(cell.of_x(t, 2) + seen) + z * h);
  }
  return cell.results(y, {h});
}

// Gates: input, output, forget, candidate; peepholes p [1, 3 n] of the first three.
Values lstm(const Call& c) {
  const Recurrent cell(c, 4, 5);
  expect_full_length(c, cell.steps());
  const std::int64_t n = cell.width();
  auto peep = [&](const Value& state, std::int64_t i) {
    return c.has(7) ? part(squeeze(c.in(7), 0), 0, i, n) * state : state - state;
  };
  Value h = cell.initial(0), s = cell.initial(1);
  std::vector<Value> y;
  for (std::int64_t t = 0; t < cell.steps(); ++t) {
    const Value i = sigmoid(cell.of_x(t, 0) + cell.of_h(h, 0) + peep(s, 0));
    const Value f = sigmoid(cell.of_x(t, 2) + cell.of_h(h, 2) + peep(s, 2));
    s = f * s + i * tanh(cell.of_x(t, 3) + cell.of_h(h, 3));
    const Value o = sigmoid(cell.of_x(t, 1) + cell.of_h(h, 1) + peep(s, 1));
    y.push_back(h = o * tanh(s));
  }
  return cell.results(y, {h, s});
}

}  // namespace

Adapters recurrent_adapters() { return {{"RNN", rnn}, {"GRU", gru}, {"LSTM", lstm}}; }

}  // namespace onnx_node
