#include <weft/runtime/tensor.h>

#include <new>

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#include <sys/mman.h>
#endif

namespace weft {
namespace {

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)

// Large blocks are whole mappings of their own: malloc would keep holes where others were freed (7 % of GPT-2's
// parameters and moments). Huge pages, tried on a virtual machine, made no step faster.
constexpr std::size_t least_mapped = std::size_t{1} << 18;

std::shared_ptr<std::byte> map(std::size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  return {static_cast<std::byte*>(data), [bytes](std::byte* p) { munmap(p, bytes); }};
}

#else

constexpr std::size_t least_mapped = static_cast<std::size_t>(-1);
std::shared_ptr<std::byte> map(std::size_t) { throw std::bad_alloc(); }

#endif

}  // namespace

std::shared_ptr<std::byte> allocate_aligned(std::size_t bytes) {
  if (bytes >= least_mapped) return map(bytes);
  auto* data = static_cast<std::byte*>(::operator new(bytes + alignment, std::align_val_t{alignment}));
  return {data, [](std::byte* p) { ::operator delete(p, std::align_val_t{alignment}); }};
}

}  // namespace weft
