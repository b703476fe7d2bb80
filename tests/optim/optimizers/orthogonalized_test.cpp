// Muon's Newton-Schulz iteration against the singular value decomposition (LAPACK, through xtensor-blas).
#include <weft/optim/optimizers/muon.h>

#include <support/catch.h>
#include <weft/runtime/program.h>
#include <weft/runtime/tensor_xt.h>

#include <xtensor-blas/xlinalg.hpp>

#include <algorithm>
#include <cmath>
#include <tuple>

using namespace weft;

TEST_CASE("the Newton-Schulz iteration keeps the singular vectors and brings every singular value near 1",
          "[core][optim][optimizers]") {
  const Shape shape = GENERATE(Shape{6, 2}, Shape{2, 6}, Shape{9, 4}, Shape{3, 8});
  CAPTURE(shape.str());
  Graph graph;
  const Value x = graph.input("x", f64, shape);
  Tensor data(f64, shape.extents());
  for (std::int64_t i = 0; i < data.size(); ++i)
    data.data<double>()[i] = std::sin(1.7 * static_cast<double>(i * i + 1));
  const Tensor y = evaluate(orthogonalized(x), {{"x", data}});

  const xt::xarray<double> matrix = data.as<double>(), image = y.as<double>();
  const auto parts = xt::linalg::svd(matrix, false);
  const xt::xarray<double>&u = std::get<0>(parts), &v_t = std::get<2>(parts);
  const xt::xarray<double> middle = xt::linalg::dot(xt::linalg::dot(xt::transpose(u), image), xt::transpose(v_t));
  const std::size_t rank = middle.shape(0);
  REQUIRE(rank == static_cast<std::size_t>(std::min(shape.extent(0), shape.extent(1))));
  for (std::size_t i = 0; i < rank; ++i)
    for (std::size_t j = 0; j < rank; ++j) {
      CAPTURE(i, j, middle(i, j));
      if (i != j) CHECK(std::abs(middle(i, j)) < 1e-12);
      else CHECK((middle(i, i) > 0.6 && middle(i, i) < 1.3));
    }
}
