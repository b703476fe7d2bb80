// What the model looks at: a picture of its attention over a stretch of text.
#pragma once

#include "data.h"
#include "options.h"

#include <weft/graph/value.h>
#include <weft/runtime/store.h>

#include <cstdint>
#include <vector>

namespace train_gpt {

/// The tokens whose attention is drawn: --attention-text, or the first held-out ones, at most 64 and the context.
/// UserError: a file that cannot be written, no such layer or head, a text that is empty, longer than the context, or
/// not of the vocabulary. Asked before the training begins.
std::vector<std::int32_t> attention_tokens(const Options& options, const Recipe& recipe, const Data& data);

/// Writes the picture to --attention by a program of its own over the store of the training.
void draw_attention(const Options& options, const Recipe& recipe, const Data& data, const weft::Value& logits,
                    weft::Store& store);

}  // namespace train_gpt
