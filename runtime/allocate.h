// Aligned allocation, for buffers, arenas and workspaces.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft {

/// Byte alignment of every buffer, of every offset in an arena, and of the parts of a workspace.
inline constexpr std::size_t alignment = 64;

/// The next multiple of the alignment: what `bytes` take in an arena or a workspace.
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// What this process may use: memory and swap of the machine, or the limit of its control group.
std::size_t machine_bytes();

/// UserError where `bytes` for `what` are more than machine_bytes(); it names the largest of `parts` (bytes, what it
/// is).
void expect_memory(std::size_t bytes, std::string_view what, std::vector<std::pair<std::size_t, std::string>> parts);

/// Aligned bytes, freed with the last owner. UserError, with the bytes, if the machine does not have them.
std::shared_ptr<std::byte> allocate_aligned(std::size_t bytes);

}  // namespace weft
