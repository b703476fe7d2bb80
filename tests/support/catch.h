// Catch2 version 2 (Debian 12) or 3 (newer): tests include <support/catch.h> and do not notice.
// `Approx` and the matchers are meant to be used without a namespace, as `Approx(1.0).epsilon(1e-6)`
// and `CHECK_THROWS_WITH(f(), ContainsSubstring("expected"))`.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)

#include <catch2/catch_approx.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_all.hpp>

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

#else

#include <catch2/catch.hpp>

#include <string>

/// The name that version 3 gives to version 2's `Contains` for strings.
inline auto ContainsSubstring(const std::string& part) { return Catch::Matchers::Contains(part); }

#endif

using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
