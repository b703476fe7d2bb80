// The vector arithmetic of kernels that walk once over large tensors: an optimizer's step, sums of rows. Chosen for the
// processor as the tables of simd.h are, and with their rules: an element's bits depend on its values only, tails run
// the same vector code, spans need no alignment, nothing allocates. All levels give the same bits.
#pragma once

#include <weft/runtime/simd/simd.h>

#include <cstdint>

namespace weft {

/// One step of AdamW (ops/step/adamw.h) over a span; each operation is rounded by itself.
template <class T>
struct AdamwStep {
  T factor = 1;                  ///< by which the gradient is multiplied first
  T beta1, rest1, beta2, rest2;  ///< rest = 1 - beta
  T decay;                       ///< by which the parameter is multiplied: 1 - rate * weight_decay
  T size, root;                  ///< rate / (1 - beta1^t), sqrt(1 - beta2^t)
  T eps;
};

template <class T>
struct SimdStreams {
  /// p, m and v (parameter and moments) may each be their own output.
  void (*adamw)(const AdamwStep<T>& step, const T* p, const T* g, const T* m, const T* v, T* p_out, T* m_out, T* v_out,
                std::int64_t n);
  /// y[c] += x[r * stride + c] for c in [0, n), in order of r.
  void (*add_rows)(const T* x, std::int64_t stride, std::int64_t rows, double* y, std::int64_t n);
};

struct StreamTables {
  SimdStreams<float> f32;
  SimdStreams<double> f64;
};

/// The tables of a level, or null where the processor lacks it (tests compare levels).
const StreamTables* stream_tables(SimdLevel level);
/// Those of the level that simd_tables() uses.
const StreamTables& stream_tables();

template <class T>
const SimdStreams<T>& simd_streams();
template <>
inline const SimdStreams<float>& simd_streams<float>() {
  return stream_tables().f32;
}
template <>
inline const SimdStreams<double>& simd_streams<double>() {
  return stream_tables().f64;
}

}  // namespace weft
