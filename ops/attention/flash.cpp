#include <weft/ops/attention/backward_task.h>
#include <weft/ops/attention/flash.h>
#include <weft/ops/attention/forward_task.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/parallel.h>

#include <memory>

namespace weft {
namespace {

// --- forward ---------------------------------------------------------------------------------------------------------

AttentionFunctions forward_functions(const OpView& view) { return {view, AttentionIn::count, "score"}; }

template <class T>
std::size_t forward_slot(const AttentionShape& s, const AttentionFunctions& functions) {
  Carver carver(nullptr);
  ForwardScratch<T>(carver, s, functions);
  return carver.bytes();
}

template <class T>
std::size_t forward_workspace(const OpView& view, int threads) {
  return forward_slot<T>(AttentionShape(view), forward_functions(view)) * static_cast<std::size_t>(threads);
}

template <class T>
void forward(KernelContext& context, const AttentionFunctions& functions) {
  const AttentionShape shape(context.view());
  const AttentionScores<T> s(context, shape, functions);
  T* y = context.out<T>(0);
  auto *tops = context.out<Wide<T>>(1), *log_sums = context.out<Wide<T>>(2);
  const std::size_t bytes = forward_slot<T>(shape, functions);
  const std::int64_t chunk = s.q_chunk(), chunks = (s.time_q + chunk - 1) / chunk;
  parallel_for(s.batch * s.heads * chunks, [&](std::int64_t task, int slot) {
    Carver carver(context.workspace() + bytes * static_cast<std::size_t>(slot));
    const ForwardScratch<T> scratch(carver, s, functions);
    const std::int64_t i = task % chunks * chunk;
    ForwardTask<T>{s, scratch, task / chunks / s.heads, task / chunks % s.heads, i, std::min(chunk, s.time_q - i)}.run(
        y, tops, log_sums);
  });
}

template <class T>
BoundKernel bind_forward(const OpView& view) {
  auto functions = std::make_shared<AttentionFunctions>(forward_functions(view));
  functions->lay_out(view);
  return [functions](KernelContext& context) { forward<T>(context, *functions); };
}

// --- backward --------------------------------------------------------------------------------------------------------

// A node's backward as it is bound.
struct BackwardLayout {
  static constexpr int first_capture = AttentionIn::d_logsumexp + 1;
  AttentionShape shape;
  AttentionFunctions functions;
  AttentionSums sums;

  explicit BackwardLayout(const OpView& view)
      : shape(view), functions(view, first_capture, "score_derivative"), sums(view, shape, first_capture) {}
};

// Wide buffers of d_q beside the output: one for each chunk of keys, the first of which may be the output itself.
template <class T>
std::int64_t d_q_buffers(const AttentionShape& s) {
  return s.k_chunks() - (is_narrow<T> ? 0 : 1);
}

template <class T>
std::size_t d_q_bytes(const AttentionShape& s) {
  const std::int64_t count = d_q_buffers<T>(s) * s.batch * s.time_q * s.heads * s.width;
  return aligned(static_cast<std::size_t>(count) * sizeof(Wide<T>));
}

template <class T>
std::size_t backward_slot(const BackwardLayout& layout) {
  Carver carver(nullptr);
  BackwardScratch<T>(carver, layout.shape, layout.functions);
  return carver.bytes();
}

// The workspace: sums, then shares of d_q, then slots.
template <class T>
std::size_t backward_workspace(const OpView& view, int threads) {
  const BackwardLayout layout(view);
  return layout.sums.bytes() + d_q_bytes<T>(layout.shape) +
         backward_slot<T>(layout) * static_cast<std::size_t>(threads);
}

template <class T>
void backward(KernelContext& context, const BackwardLayout& layout) {
  using A = Wide<T>;
  const BackwardRun<T> run(context, layout.shape, layout.functions, layout.sums);
  const AttentionShape& s = run.s;
  if (s.time_q == 0 || s.time_k == 0 || s.batch * s.heads == 0) {  // nobody attends to anything
    for (std::size_t k = 0; k < context.view().out.size(); ++k)
      std::fill_n(context.out_bytes(static_cast<int>(k)), context.out_type(static_cast<int>(k)).bytes(), std::byte{0});
    return;
  }
  layout.sums.clear<A>(context, context.workspace());
  std::byte* const shares = context.workspace() + layout.sums.bytes();
  T* const d_q = context.out<T>(0);
  const std::int64_t chunk = s.k_chunk(), chunks = s.k_chunks(), count = s.batch * s.time_q * s.heads * s.width;
  const auto share = [&](std::int64_t c) -> A* {
    if constexpr (!is_narrow<T>)
      if (c-- == 0) return d_q;
    return reinterpret_cast<A*>(shares) + c * count;
  };
  const std::size_t bytes = backward_slot<T>(layout);
  // What is not cut into tasks is gone through within each.
  const std::int64_t cut_batch = layout.sums.cut_batch() ? s.batch : 1;
  const std::int64_t cut_heads = layout.sums.cut_heads() ? s.kv_heads : 1;
  parallel_for(cut_batch * cut_heads * chunks, [&](std::int64_t task, int slot) {
    Carver carver(shares + d_q_bytes<T>(s) + bytes * static_cast<std::size_t>(slot));
    const BackwardScratch<T> scratch(carver, s, layout.functions);
    const std::int64_t c = task % chunks, b0 = task / chunks / cut_heads, kv0 = task / chunks % cut_heads;
    for (std::int64_t b = b0; b < s.batch; b += cut_batch)
      for (std::int64_t kv = kv0; kv < s.kv_heads; kv += cut_heads)
        run.run({.b = b,
                 .kv = kv,
                 .j0 = c * chunk,
                 .j1 = std::min((c + 1) * chunk, s.time_k),
                 .d_q = share(c),
                 .sums = {.task = task, .chunk = c}},
                scratch);
  });
  layout.sums.finish<A>(context, context.workspace());
  if (d_q_buffers<T>(s) == 0) return;
  for_row_tiles(count, 1, [&](std::int64_t begin, std::int64_t end, int) {
    A* sum = share(0) + begin;
    for (std::int64_t c = 1; c < chunks; ++c) simd<A>().add(sum, share(c) + begin, sum, end - begin);
    store(sum, d_q + begin, end - begin);
  });
}

template <class T>
BoundKernel bind_backward(const OpView& view) {
  auto layout = std::make_shared<BackwardLayout>(view);
  layout->functions.lay_out(view);
  return [layout](KernelContext& context) { backward<T>(context, *layout); };
}

template <class T>
Kernel forward_kernel() {
  return {.dtype = dtype_of<T>, .bind = bind_forward<T>, .workspace = forward_workspace<T>};
}
template <class T>
Kernel backward_kernel() {
  return {.dtype = dtype_of<T>, .bind = bind_backward<T>, .workspace = backward_workspace<T>};
}

}  // namespace

std::vector<Kernel> attention_kernels() {
  return {forward_kernel<float>(), forward_kernel<double>(), forward_kernel<bfloat16>(), forward_kernel<float16>()};
}
std::vector<Kernel> attention_backward_kernels() {
  return {backward_kernel<float>(), backward_kernel<double>(), backward_kernel<bfloat16>(), backward_kernel<float16>()};
}

}  // namespace weft
