// In which order the backward pass comes through blocks. Private to inspect/.
#pragma once

#include <weft/inspect/gradients/forward_values.h>

#include <map>
#include <string>
#include <vector>

namespace weft {

class BlockFlow {
 public:
  BlockFlow(const Step& step, const ForwardValues& forward);

  /// The block's own cotangents make those of `other`, perhaps through more blocks: what `other` gives ends in what
  /// `block` reads.
  bool comes_through(const std::string& other, const std::string& block) const;
  /// Nothing of a block stands between it and a sum of the loss.
  bool nearest_to_loss(const std::string& block) const;

 private:
  std::size_t at(const std::string& block) const;  // indices_.size(): the forward pass has no node in it

  std::map<std::string, std::size_t> indices_;
  std::vector<std::vector<bool>> made_from_;  // [block][other]
  std::vector<bool> nearest_;
};

}  // namespace weft
