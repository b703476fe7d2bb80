#include <weft/runtime/allocate.h>

#include <cstring>
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
// Other blocks and the bytes behind them hold NaN at first: a kernel that reads what nobody wrote gives NaN every time,
// not once in a hundred runs.
constexpr std::size_t pad = alignment;

std::shared_ptr<std::byte> map(std::size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  return {static_cast<std::byte*>(data), [bytes](std::byte* p) { munmap(p, bytes); }};
}

#else

constexpr std::size_t least_mapped = static_cast<std::size_t>(-1);
constexpr std::size_t pad = 0;  // the sanitizer sees reads behind the end
std::shared_ptr<std::byte> map(std::size_t) { throw std::bad_alloc(); }

#endif

}  // namespace

std::shared_ptr<std::byte> allocate_aligned(std::size_t bytes) {
  if (bytes >= least_mapped) return map(bytes);
  const std::size_t whole = bytes + pad;
  auto* data = static_cast<std::byte*>(::operator new(whole, std::align_val_t{alignment}));
  std::memset(data, 0xFF, whole);
  return {data, [](std::byte* p) { ::operator delete(p, std::align_val_t{alignment}); }};
}

}  // namespace weft
