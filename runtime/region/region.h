// A region: pointwise and row-wise nodes fused into one node. Its kernel takes a block of rows through all members
// while the block is in cache, each member by its own kernel. What only members read never reaches memory. The same
// bits as node by node: a member rounds to its own type, and an element's bits do not depend on the block in which it
// is computed.
#pragma once

#include <weft/graph/graph.h>

#include <memory>
#include <string>
#include <vector>

namespace weft {

/// The attribute "members" of a region. Values are numbered: first the region's operands, then the members' outputs in
/// order.
class RowRegion : public Description {
 public:
  /// Limits of a region: its kernel keeps a pointer to each on its stack.
  static constexpr std::size_t most_members = 24, most_values = 64;
  static constexpr int absent = -1;

  struct Member {
    const OpDef* op = nullptr;
    Attributes attributes;
    std::vector<int> operands;  ///< values, or absent
    int outputs = 1;
    std::string name;  ///< of the node that it replaces
    std::source_location where;
  };

  int operands = 0;
  std::vector<Member> members;
  std::vector<int> outputs;  ///< values that the region outputs

  std::string str() const override;
  bool same(const Description& other) const override;
  std::string title() const;  ///< "add + layer_norm"

  /// Types of all values, from those of the operands.
  std::vector<TensorType> types(const OpView& view) const;
  /// body(member, first value of its outputs, its view), in order.
  template <class F>
  void each(const std::vector<TensorType>& types, F&& body) const {
    int first = operands;
    for (const Member& member : members) {
      std::vector<const TensorType*> in;
      for (int value : member.operands)
        in.push_back(value == absent ? nullptr : &types[static_cast<std::size_t>(value)]);
      const std::span out(types.data() + first, static_cast<std::size_t>(member.outputs));
      body(member, first, OpView{*member.op, member.attributes, in, out});
      first += member.outputs;
    }
  }
};

const RowRegion& row_region_of(const Attributes& attributes);

/// The op of a region; its attribute "members" says its operands and outputs. Random where a member is: then it has the
/// attribute "stream".
const OpDef& row_region_op();

/// The size of a block that the kernel aims at: with the rows in between members it fits into L2.
inline constexpr std::int64_t row_region_bytes = 256 << 10;

}  // namespace weft
