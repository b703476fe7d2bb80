// The headers of xtensor that weft reads, in 0.24 (Debian 12), 0.25 (Debian 13) and later: 0.26 moved them into
// folders. Only <weft/runtime/tensor_xt.h> and <weft/ops/kit/xtensor_kernel.h> include this header.
// Not in <weft/weft.h>, nor are those.
#pragma once

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/core/xmath.hpp>
#include <xtensor/core/xnoalias.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xview.hpp>
#endif
