// Parameters that stay as they are.
#pragma once

#include <weft/graph/step.h>

#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// Parameters whose path matches one of the globs (graph/glob.h) are not trained: they get no gradient, no update,
/// no optimizer state, and no part in the gradients' norm. The nodes of the backward pass that only they needed are
/// gone: below the first trained layer nothing is differentiated. (torch: requires_grad_(False))
///   training_step(loss) | freeze({"embedding/**", "decoder/0/**"}) | ... | optimize(...)
/// UserError: a pattern that matches no trained parameter; nothing left to train; after a transform that has read the
/// gradients.
Transform freeze(std::vector<std::string> patterns, std::source_location where = std::source_location::current());
Transform freeze(const char* pattern, std::source_location where = std::source_location::current());

/// The step in which `parameters` (of its graph) are not trained, and nodes that only their gradients needed are
/// removed by `pass`.
Step without_gradients(const Step& step, const std::vector<Value>& parameters, const std::string& pass);

}  // namespace weft
