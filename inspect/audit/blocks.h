// Which block of a model a node belongs to: what the audit and the gradient report group by. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/reach.h>
#include <weft/graph/step.h>

#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// Of the path of a node or of a parameter: the longest prefix of its scopes that ends in a number ("decoder/3" of
/// "decoder/3/attention/query/weight"), else the first scope ("head" of "head/weight"), else "".
std::string block_of(std::string_view path);

/// "decoder/0..11, norm, head": blocks in their order, where those that count up are one.
std::string joined_blocks(const std::vector<std::string>& blocks);

/// Nodes that a sum of the loss is made from.
NodeSet leads_to_loss(const Step& step);

}  // namespace weft
