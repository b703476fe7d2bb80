// Random tensors. A number is a function of (seed, node, run, row, column): the same for any number of threads, in a
// recompute, and for any cut of the batch into micro-batches.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// Uniform on [low, high).
Value uniform(Graph graph, Shape shape, double low = 0, double high = 1, DType dtype = f32,
              std::source_location where = std::source_location::current());
/// Normal with the given mean and standard deviation.
Value normal(Graph graph, Shape shape, double mean = 0, double deviation = 1, DType dtype = f32,
             std::source_location where = std::source_location::current());
/// 1 with probability p, else 0, in p's type and shape; p is in [0, 1]; NaN gives 0. No gradient (torch.bernoulli).
Value bernoulli(const Arg& p);

const OpDef& uniform_op();
const OpDef& normal_op();
void register_sampling();

}  // namespace weft
