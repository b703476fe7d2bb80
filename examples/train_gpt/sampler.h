// Text from the model, one character after the other.
#pragma once

#include <weft/graph/value.h>
#include <weft/runtime/program.h>

#include <cstdint>
#include <span>
#include <vector>

namespace train_gpt {

/// A program of its own for one window, over the store of the training.
class Sampler {
 public:
  Sampler(const weft::Value& logits, weft::Store& store);

  /// `count` tokens after the prompt, drawn with the given temperature. The same store and seed give the same ones.
  std::vector<std::int32_t> draw(std::span<const std::int32_t> prompt, std::int64_t count, double temperature);
  /// That it takes beside the store.
  std::size_t bytes() const { return program_.allocated_bytes(); }

 private:
  weft::Value logits_;
  weft::Store* store_;
  weft::Program program_;
};

}  // namespace train_gpt
