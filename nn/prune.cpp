#include <weft/nn/prune.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

namespace weft::nn {
namespace {

using Indices = std::vector<std::int64_t>;

// What stays of an attention.
struct Kept {
  AttentionConfig large;    // filled in
  Indices heads, kv_heads;  // that stay

  Kept(const AttentionConfig& config, const Indices& out, const std::string& name, std::source_location where)
      : large(config.checked(name, where)) {
    const auto fail = [&](const std::string& what) {
      WEFT_FAIL("pruning heads of '{}' ({}): {}", name, str(where), what);
    };
    std::vector<bool> goes(static_cast<std::size_t>(large.heads), false);
    for (const std::int64_t head : out) {
      if (head < 0 || head >= large.heads) fail(fmt::format("it has the heads 0 to {}, got {}", large.heads - 1, head));
      goes[static_cast<std::size_t>(head)] = true;
    }
    const std::int64_t group = large.heads / large.kv_heads;
    for (std::int64_t kv = 0; kv < large.kv_heads; ++kv) {
      const auto first = goes.begin() + kv * group, last = first + group;
      const auto gone = std::count(first, last, true);
      if (gone != 0 && gone != group)
        fail(fmt::format("heads {} to {} share their keys and values: all of them go or none, got {} of {}", kv * group,
                         (kv + 1) * group - 1, gone, group));
      if (gone != 0) continue;
      kv_heads.push_back(kv);
      for (std::int64_t i = 0; i < group; ++i) heads.push_back(kv * group + i);
    }
    if (heads.empty())
      fail(fmt::format("all of its {} heads would go; hint: leave the layer out of the model", large.heads));
  }

  AttentionConfig small() const {
    AttentionConfig config = large;
    config.heads = std::ssize(heads);
    config.kv_heads = std::ssize(kv_heads);
    return config;
  }
};

// Rows of `width` each, of the heads `kept`, from row `first` on.
void append_rows(Indices& rows, const Indices& kept, std::int64_t width, std::int64_t first = 0) {
  for (const std::int64_t head : kept)
    for (std::int64_t i = 0; i < width; ++i) rows.push_back(first + head * width + i);
}

// Which elements stay, along which axis.
struct Cut {
  int axis = 0;
  Indices at;
};

// Of a parameter of the module, by its name there; none: it stays whole.
std::optional<Cut> cut_of(std::string_view name, const Kept& kept) {
  const AttentionConfig& c = kept.large;
  Indices q, k, v, packed, out;
  append_rows(q, kept.heads, c.head_width);
  append_rows(k, kept.kv_heads, c.head_width);
  append_rows(v, kept.kv_heads, c.value_head_width);
  append_rows(packed, kept.heads, c.head_width);
  append_rows(packed, kept.kv_heads, c.head_width, c.q_rows());
  append_rows(packed, kept.kv_heads, c.value_head_width, c.q_rows() + c.k_rows());
  append_rows(out, kept.heads, c.value_head_width);
  if (name == "query/weight" || name == "query/bias" || name == "q_proj_weight") return Cut{0, q};
  if (name == "key/weight" || name == "key/bias" || name == "k_proj_weight") return Cut{0, k};
  if (name == "value/weight" || name == "value/bias" || name == "v_proj_weight") return Cut{0, v};
  if (name == "in_proj_weight" || name == "in_proj_bias") return Cut{0, packed};
  if (name == "out/weight" || name == "out_proj/weight") return Cut{1, out};
  if (name == "bias_k") return Cut{2, k};
  if (name == "bias_v") return Cut{2, v};
  return std::nullopt;
}

Tensor picked(const Tensor& x, const Cut& cut) {
  Tensor::Extents extents = x.extents();
  const auto axis = static_cast<std::size_t>(cut.axis);
  std::size_t outer = 1, inner = size_of(x.dtype());
  for (std::size_t i = 0; i < axis; ++i) outer *= static_cast<std::size_t>(extents[i]);
  for (std::size_t i = axis + 1; i < extents.size(); ++i) inner *= static_cast<std::size_t>(extents[i]);
  const auto whole = static_cast<std::size_t>(extents[axis]);
  extents[axis] = std::ssize(cut.at);
  Tensor y(x.dtype(), extents);
  std::byte* to = y.raw();
  for (std::size_t o = 0; o < outer; ++o)
    for (const std::int64_t at : cut.at) {
      std::memcpy(to, x.raw() + (o * whole + static_cast<std::size_t>(at)) * inner, inner);
      to += inner;
    }
  return y;
}

// The name within the module, of a cell PATH/NAME, or KIND/PATH/NAME of a state that follows a parameter; else none.
std::optional<std::string_view> name_in(std::string_view cell, bool trained, const std::string& path) {
  const std::string folder = path + "/";
  if (cell.starts_with(folder)) return cell.substr(folder.size());
  const auto at = cell.find("/" + folder);
  if (trained || at == std::string_view::npos) return std::nullopt;
  return cell.substr(at + 1 + folder.size());
}

}  // namespace

AttentionConfig without_heads(const AttentionConfig& config, const Indices& heads, std::source_location where) {
  return Kept(config, heads, "attention", where).small();
}

void prune_heads(const Store& from, Store& to, const std::vector<HeadPruning>& prunings, std::source_location where) {
  std::vector<Kept> kept;
  for (const HeadPruning& pruning : prunings) {
    kept.emplace_back(pruning.config, pruning.heads, pruning.path, where);
    const bool any = std::ranges::any_of(
        to.cells(), [&](const auto& cell) { return cell.second.trained && name_in(cell.first, true, pruning.path); });
    WEFT_CHECK(any, "prune_heads ({}): the smaller model has no parameter under '{}'", str(where), pruning.path);
  }
  for (const auto& [path, cell] : to.cells()) {
    WEFT_CHECK(from.has(path), "prune_heads ({}): the larger model has no '{}'", str(where), path);
    Tensor value = from.tensor(path);
    for (std::size_t i = 0; i < prunings.size(); ++i) {
      const auto name = name_in(path, cell.trained, prunings[i].path);
      const std::optional<Cut> cut = name ? cut_of(*name, kept[i]) : std::nullopt;
      if (!cut) continue;
      const bool fits = value.rank() > cut->axis && !cut->at.empty() && cut->at.back() < value.extent(cut->axis);
      WEFT_CHECK(fits,
                 "prune_heads ({}): '{}' of the larger model is {}, which does not hold the heads of its configuration",
                 str(where), path, value.type_str());
      value = picked(value, *cut);
    }
    WEFT_CHECK(value.dtype() == cell.tensor.dtype() && value.extents() == cell.tensor.extents(),
               "prune_heads ({}): '{}' would be {}, and the smaller model's is {}; hint: build it of "
               "without_heads(config, heads)",
               str(where), path, value.type_str(), cell.tensor.type_str());
    to.set(path, value);
  }
  to.set_runs(from.runs());
}

}  // namespace weft::nn
