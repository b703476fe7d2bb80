// Aligned allocation, for buffers, arenas and workspaces.
#pragma once

#include <cstddef>
#include <memory>

namespace weft {

/// Byte alignment of every buffer, of every offset in an arena, and of the parts of a workspace.
inline constexpr std::size_t alignment = 64;

/// The next multiple of the alignment: what `bytes` take in an arena or a workspace.
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// Aligned bytes, freed with the last owner.
std::shared_ptr<std::byte> allocate_aligned(std::size_t bytes);

}  // namespace weft
