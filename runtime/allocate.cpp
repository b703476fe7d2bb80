#include <weft/runtime/allocate.h>

#include <weft/graph/error.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <new>
#include <string>

#include <unistd.h>

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
  if (data == MAP_FAILED) return nullptr;
  return {static_cast<std::byte*>(data), [bytes](std::byte* p) { munmap(p, bytes); }};
}

#else

constexpr std::size_t least_mapped = static_cast<std::size_t>(-1);
constexpr std::size_t pad = 0;  // the sanitizer sees reads behind the end
std::shared_ptr<std::byte> map(std::size_t) { return nullptr; }

#endif

// The number that a file of one line holds; `otherwise` where there is no such file, or no number ("max").
std::size_t number_in(const char* path, std::size_t otherwise) {
  std::ifstream in(path);
  std::size_t number = 0;
  return in >> number ? number : otherwise;
}

std::size_t find_machine_bytes() {
  constexpr std::size_t unlimited = SIZE_MAX;
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return unlimited;
  std::size_t bytes = static_cast<std::size_t>(pages) * static_cast<std::size_t>(page);
  std::ifstream in("/proc/meminfo");
  for (std::string key, rest; in >> key && std::getline(in, rest);)
    if (key == "SwapTotal:") bytes += static_cast<std::size_t>(std::stoull(rest)) * 1024;
  const std::size_t group = std::min(number_in("/sys/fs/cgroup/memory.max", unlimited),
                                     number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", unlimited));
  return std::min(bytes, group);
}

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  if (bytes > machine_bytes()) return nullptr;
  if (bytes >= least_mapped) return map(bytes);
  const std::size_t whole = bytes + pad;
  auto* data = static_cast<std::byte*>(::operator new(whole, std::align_val_t{alignment}, std::nothrow));
  if (data == nullptr) return nullptr;
  std::memset(data, 0xFF, whole);
  return {data, [](std::byte* p) { ::operator delete(p, std::align_val_t{alignment}); }};
}

}  // namespace

std::size_t machine_bytes() {
  static const std::size_t bytes = find_machine_bytes();
  return bytes;
}

void expect_memory(std::size_t bytes, std::string_view what, std::vector<std::pair<std::size_t, std::string>> parts) {
  if (bytes <= machine_bytes()) return;
  constexpr std::size_t most = 3;
  std::ranges::sort(parts, std::greater{});
  std::string text;
  for (std::size_t i = 0; i < std::min(most, parts.size()); ++i)
    text += fmt::format("\n  {} bytes: {}", parts[i].first, parts[i].second);
  WEFT_FAIL("{} needs {} bytes, this process may use {}{}", what, bytes, machine_bytes(), text);
}

std::shared_ptr<std::byte> allocate_aligned(std::size_t bytes) {
  std::shared_ptr<std::byte> data = allocate(bytes);
  WEFT_CHECK(data != nullptr, "{} bytes of memory are not to be had; this process may use {}", bytes, machine_bytes());
  return data;
}

}  // namespace weft
