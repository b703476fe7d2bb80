// Checks of single tensors and values, behind the matchers AllFinite, SameBits, CloseTo and ShapeIs.
#pragma once

#include <weft/graph/value.h>
#include <weft/runtime/tensor.h>
#include <weft/testing/outcome.h>

#include <optional>
#include <vector>

namespace weft::testing {

/// No NaN and no infinity. Says where the first one is.
Outcome all_finite(const Tensor& tensor);

/// Same type, extents and bits (0 and -0 differ, NaNs of the same bits are the same). Says which elements differ:
/// index, both numbers with 17 digits and as bits, and how many units in the last place lie between.
Outcome bits_agree(const Tensor& found, const Tensor& expected);
/// The same for lists, element by element.
Outcome bits_agree(const std::vector<Tensor>& found, const std::vector<Tensor>& expected);

/// |found - expected| <= atol + rtol |expected| for each element; infinities must be the same, NaN equals nothing.
/// Types and extents must agree. Absent tolerances are those of torch.testing.assert_close for the type: f16 1e-3 and
/// 1e-5, bf16 1.6e-2 and 1e-5, f32 1.3e-6 and 1e-5, f64 1e-7 and 1e-7, others 0. UserError: a tolerance that is
/// negative or NaN.
Outcome close_to(const Tensor& found, const Tensor& expected, std::optional<double> rtol = std::nullopt,
                 std::optional<double> atol = std::nullopt);

/// Whether the extents are these; -1 stands for any.
Outcome has_shape(const Value& value, const std::vector<std::int64_t>& extents);
Outcome has_shape(const Tensor& tensor, const std::vector<std::int64_t>& extents);

}  // namespace weft::testing
