#include <weft/weft.h>

#include <cstdio>

int main() {
  const weft::Tensor a = weft::Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const weft::Tensor b = a.cast(weft::f64).cast(weft::f32);
  if (!weft::same_bits(a, b)) {
    std::puts("consumer: a tensor changed by a lossless cast");
    return 1;
  }
  return 0;
}
