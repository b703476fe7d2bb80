#include <weft/autodiff/save_policy.h>
#include <weft/graph/glob.h>

#include <algorithm>

namespace weft {

SavePolicy nothing_saveable() {
  return {"nothing_saveable", [](const PolicyNode&) { return false; }, {}};
}
SavePolicy everything_saveable() {
  return {"everything_saveable", [](const PolicyNode&) { return true; }, {}};
}
SavePolicy dots_saveable() {
  return {"dots_saveable", [](const PolicyNode& node) { return node.product; }, {}};
}
SavePolicy dots_with_no_batch_dims_saveable() {
  return {
      "dots_with_no_batch_dims_saveable", [](const PolicyNode& node) { return node.product && node.reads_weight; }, {}};
}
SavePolicy save_only_these_names(std::vector<std::string> globs) {
  auto saves = [globs](const PolicyNode& node) {
    return std::ranges::any_of(globs, [&](const std::string& glob) { return matches(glob, node.node.name); });
  };
  return {"save_only_these_names", std::move(saves), std::move(globs)};
}

}  // namespace weft
