#include <weft/runtime/onednn.h>

#include <weft/graph/error.h>
#include <weft/runtime/bounded_cache.h>

#include <oneapi/dnnl/dnnl.hpp>

#include <tuple>

namespace weft::onednn {
namespace {

using dnnl::memory;

struct Matmul {
  dnnl::primitive primitive;
  memory a, b, c;
};

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::data_type type_of(DType type) {
  WEFT_INVARIANT(type == f32 || type == bf16, "no matmul primitive for {}", name_of(type));
  return type == f32 ? memory::data_type::f32 : memory::data_type::bf16;
}

memory::desc matrix(DType type, std::int64_t rows, std::int64_t columns, std::int64_t stride, bool trans) {
  memory::dims strides = trans ? memory::dims{1, stride} : memory::dims{stride, 1};
  // A column as a matrix of one row: oneDNN 3.7 takes strides {1, n} for a row whose elements lie side by side.
  if (trans && rows == 1) strides[0] = stride * columns;
  if (!trans && columns == 1) strides[1] = stride * rows;
  return {memory::dims{rows, columns}, type_of(type), strides};
}

Matmul make(const Product& p, DType input, DType output) {
  const memory::desc a = matrix(input, p.m, p.k, p.lda, p.trans_a);
  const memory::desc b = matrix(input, p.k, p.n, p.ldb, p.trans_b);
  const memory::desc c = matrix(output, p.m, p.n, p.ldc, false);
  dnnl::post_ops after;
  dnnl::primitive_attr attributes;
#if DNNL_VERSION_MAJOR >= 3
  if (p.alpha != 1) after.append_eltwise(dnnl::algorithm::eltwise_linear, p.alpha, 0.0F);
#else
  if (p.alpha != 1) after.append_eltwise(1.0F, dnnl::algorithm::eltwise_linear, p.alpha, 0.0F);
#endif
  if (p.beta != 0) after.append_sum(p.beta);
  attributes.set_post_ops(after);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(cpu(), a, b, c, attributes);
#else
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, c), attributes, cpu());
#endif
  return {dnnl::matmul(description), memory(a, cpu(), DNNL_MEMORY_NONE), memory(b, cpu(), DNNL_MEMORY_NONE),
          memory(c, cpu(), DNNL_MEMORY_NONE)};
}

}  // namespace

void sgemm(const Product& p, const float* a, const float* b, float* c) {
  const dnnl_status_t status = dnnl_sgemm(p.trans_a ? 'T' : 'N', p.trans_b ? 'T' : 'N', p.m, p.n, p.k, p.alpha, a,
                                          p.lda, b, p.ldb, p.beta, c, p.ldc);
  WEFT_INVARIANT(status == dnnl_success, "oneDNN refused a product of {}x{}x{}", p.m, p.n, p.k);
}

bool has_bf16() {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  return (isa & wanted) == wanted;
}

void matmul(const Product& p, DType input, DType output, const void* a, const void* b, void* c) {
  using Key = std::tuple<bool, bool, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         float, float, DType, DType>;
  // A primitive's scratchpad serves one execution at a time, so each thread has primitives of its own.
  static thread_local BoundedCache<Key, Matmul> made(most_primitives);
  static thread_local dnnl::stream stream(cpu());
  const Key key(p.trans_a, p.trans_b, p.m, p.n, p.k, p.lda, p.ldb, p.ldc, p.alpha, p.beta, input, output);
  Matmul& matmul = made.get(key, [&] { return make(p, input, output); });
  matmul.a.set_data_handle(const_cast<void*>(a));
  matmul.b.set_data_handle(const_cast<void*>(b));
  matmul.c.set_data_handle(c);
  matmul.primitive.execute(stream, {{DNNL_ARG_SRC, matmul.a}, {DNNL_ARG_WEIGHTS, matmul.b}, {DNNL_ARG_DST, matmul.c}});
  stream.wait();
}

}  // namespace weft::onednn
