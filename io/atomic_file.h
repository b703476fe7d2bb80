// Writes a file as a whole or not at all. Not in <weft/weft.h>.
#pragma once

#include <weft/runtime/function_ref.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace weft {

/// Takes the bytes of a file in order.
using WriteBytes = FunctionRef<void(std::span<const std::byte>)>;

/// Calls `fill` with a writer into a temporary file beside `path`, makes it durable (fsync) and renames it to `path`,
/// so that a reader, also after a crash, sees the old file or the new one and never a part. An exception leaves the old
/// file as it was. A symbolic link is followed. UserError: the folder cannot be written, `path` is no regular file.
void write_atomically(const std::filesystem::path& path, FunctionRef<void(WriteBytes)> fill);

/// Throws the UserError that write_atomically(path) would throw, before hours of work depend on it.
void expect_writable(const std::filesystem::path& path);

}  // namespace weft
