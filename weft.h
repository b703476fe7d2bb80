// Everything a user of weft includes: `#include <weft/weft.h>`. Includes only.
#pragma once

#include <weft/graph/dtype.h>
#include <weft/graph/error.h>
#include <weft/runtime/tensor.h>
