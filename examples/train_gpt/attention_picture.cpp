#include "attention_picture.h"

#include <weft/graph/at_batch.h>
#include <weft/graph/error.h>
#include <weft/io/heat_map.h>
#include <weft/nn/attention_view.h>
#include <weft/optim/training_step.h>
#include <weft/runtime/program.h>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace train_gpt {

using weft::Tensor;

namespace {

// The corner of the first `count` queries and keys: [1, heads, time, time] -> [heads, count, count].
Tensor corner(const Tensor& weights, std::int64_t count) {
  const std::int64_t heads = weights.extent(1), time = weights.extent(2);
  Tensor result(weft::f64, {heads, count, count});
  double* to = result.data<double>();
  for (std::int64_t row = 0; row < heads * count; ++row)
    for (std::int64_t key = 0; key < count; ++key) *to++ = weights.at((row / count * time + row % count) * time + key);
  return result;
}

weft::HeatMapDivide divide_of(const std::string& name) {
  if (name == "rows") return weft::HeatMapDivide::rows;
  if (name == "columns") return weft::HeatMapDivide::columns;
  return name == "peaks" ? weft::HeatMapDivide::row_peaks : weft::HeatMapDivide::nothing;
}

}  // namespace

std::vector<std::int32_t> attention_tokens(const Options& options, const Recipe& recipe, const Data& data) {
  weft::expect_heat_map_file(options.attention);
  for (const std::int64_t layer : options.attention_layers)
    WEFT_CHECK(layer < recipe.layers, "--attention-layers: there is no layer {}, the model has 0 to {}", layer,
               recipe.layers - 1);
  for (const std::int64_t head : options.attention_heads)
    WEFT_CHECK(head < recipe.heads, "--attention-heads: there is no head {}, the model has 0 to {}", head,
               recipe.heads - 1);
  if (options.attention_text.empty()) {
    const auto text = data.held_out();
    const auto count = std::min({std::size_t{64}, static_cast<std::size_t>(recipe.context), text.size()});
    return {text.begin(), text.begin() + static_cast<std::ptrdiff_t>(count)};
  }
  const auto tokens = data.vocabulary.encode(weft::decode_utf8(options.attention_text));
  WEFT_CHECK(std::cmp_less_equal(tokens.size(), recipe.context),
             "--attention-text has {} characters, the model's context is {}", tokens.size(), recipe.context);
  return tokens;
}

void draw_attention(const Options& options, const Recipe& recipe, const Data& data, const weft::Value& logits,
                    weft::Store& store) {
  const std::vector<std::int32_t> tokens = attention_tokens(options, recipe, data);
  const auto views = weft::nn::attention_views({logits});
  std::vector<std::int64_t> layers = options.attention_layers;
  if (layers.empty()) {
    layers.resize(views.size());
    std::iota(layers.begin(), layers.end(), 0);
  }
  std::vector<weft::Value> weights;
  for (const std::int64_t layer : layers) weights.push_back(views.at(static_cast<std::size_t>(layer)).weights);

  weft::Program program(weft::at_batch(weft::inference(weights), 1), store);
  Tensor window(weft::i32, {1, recipe.context});  // what lies after the text is not seen by it
  std::ranges::copy(tokens, window.data<std::int32_t>());
  const weft::Result result = program.run({{"tokens", window}});

  std::vector<std::string> labels;
  for (const std::int32_t token : tokens) labels.push_back(data.vocabulary.decode({&token, 1}));
  std::vector<weft::HeatMapLayer> drawn;
  for (std::size_t i = 0; i < layers.size(); ++i)
    drawn.push_back({.title = views[static_cast<std::size_t>(layers[i])].path,
                     .weights = corner(result.tensor(weights[i]), static_cast<std::int64_t>(tokens.size())),
                     .rows = labels,
                     .columns = labels});
  const weft::HeatMap map = weft::heat_map(drawn, {.title = fmt::format("Attention after step {}", store.runs()),
                                                   .heads = options.attention_heads,
                                                   .divide = divide_of(options.attention_divide)});
  weft::write_heat_map(options.attention, map);
  fmt::print(stderr, "attention of {} layers over {} characters: {}\n", layers.size(), tokens.size(),
             options.attention);
}

}  // namespace train_gpt
