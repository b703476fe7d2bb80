// What a backward rule (OpDef::backward) reads and writes: the node, the cotangents of its outputs, the gradients of
// its operands. A rule builds nodes and never computes (invariant 1 of docs/design.md).
#pragma once

#include <weft/graph/value.h>

#include <functional>
#include <stdexcept>
#include <vector>

namespace weft {

class Attributes;

/// The node being differentiated, the cotangents of its outputs, and a place for those of its operands. A cotangent
/// given for an operand may have the broadcast shape: autodiff/gradient.cpp sums it over the broadcast axes.
class Backward {
 public:
  int inputs() const { return static_cast<int>(in_.size()); }
  /// Operand i; an absent value where the operand was not given.
  const Value& in(int i) const { return in_.at(static_cast<std::size_t>(i)); }
  /// Output i of the forward node.
  const Value& out(int i) const { return out_.at(static_cast<std::size_t>(i)); }
  const Attributes& attributes() const { return *attributes_; }

  /// Whether output i has a cotangent: whether the loss depends on it.
  bool has_cotangent(int i) const { return cotangents_.at(static_cast<std::size_t>(i)).valid(); }
  /// d loss / d out(i); zeros if the loss does not depend on it.
  Value cotangent(int i) { return has_cotangent(i) ? cotangents_.at(static_cast<std::size_t>(i)) : zeros_(out(i)); }

  /// Whether the gradient of operand i is asked for: skip the work when it is not.
  bool wants(int i) const { return i >= 0 && i < inputs() && wants_[static_cast<std::size_t>(i)]; }
  /// As vector_jacobian() of autodiff/gradient.h, for a rule that differentiates a graph of its own.
  std::vector<Value> vector_jacobian(const std::vector<Value>& outputs, const std::vector<Value>& cotangents,
                                     const std::vector<Value>& values) const {
    return vector_jacobian_(outputs, cotangents, values);
  }

  /// Sets d loss / d in(i). Nothing happens where the operand was not given, or its gradient is not asked for.
  void input(int i, const Value& gradient) {
    if (i < 0 || (most_ >= 0 && i >= most_)) throw std::out_of_range("operand");
    if (wants(i)) gradients_[static_cast<std::size_t>(i)] = gradient;
  }

 private:
  friend class ReverseWalk;  // autodiff/gradient.cpp fills and reads these
  Values in_, out_, cotangents_, gradients_;
  std::vector<bool> wants_;
  int most_ = -1;  // operands that the op may have; -1: any number
  const Attributes* attributes_ = nullptr;
  std::function<Value(const Value&)> zeros_;
  std::vector<Value> (*vector_jacobian_)(const std::vector<Value>&, const std::vector<Value>&,
                                         const std::vector<Value>&) = nullptr;
};

}  // namespace weft
