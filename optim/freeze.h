// Freezes parameters: they are not trained (torch: requires_grad_(False)).
#pragma once

#include <weft/graph/step.h>

#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// Parameters whose path matches one of the globs (graph/glob.h) are not trained: they get no gradient, no update and
/// no optimizer state, and do not count in the gradients' norm. The nodes of the backward pass that only they needed
/// are removed: below the first trained layer nothing is differentiated.
///   training_step(loss) | freeze({"embedding/**", "decoder/0/**"}) | ... | optimize(...)
/// UserError: a pattern that matches no trained parameter; nothing left to train; after a transform that has read the
/// gradients.
Transform freeze(std::vector<std::string> patterns, std::source_location where = std::source_location::current());
Transform freeze(const char* pattern, std::source_location where = std::source_location::current());

/// The step in which `parameters` (of its graph) are not trained, without the nodes that only their gradients needed.
/// `pass` is the name under which these are removed.
Step without_gradients(const Step& step, const std::vector<Value>& parameters, const std::string& pass);

}  // namespace weft
