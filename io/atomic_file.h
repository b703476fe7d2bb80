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

/// What is added to a file's name for the temporary file that its bytes are first written to. A process that is killed
/// while it writes leaves that file; the next write takes it over.
inline constexpr std::string_view partial_suffix = ".weft-partial";

/// Calls `fill` with a writer into a temporary file beside `path`, makes it durable (fsync) and renames it to `path`,
/// so that a reader, also after a crash, sees the old file or the new one and never a part. An exception leaves the old
/// file as it was. A symbolic link is followed, also to a file that is not there yet. The new file has the old one's
/// mode and, where the process may give them, its owner and group. It is a new file: a hard link to the old one keeps
/// the old bytes. UserError: the file or its folder is closed to writing, `path` is no regular file, the disk is full,
/// another process (or thread) is writing the same file.
void write_atomically(const std::filesystem::path& path, FunctionRef<void(WriteBytes)> fill);

/// Writes a temporary file for `path` and removes it: throws the UserError that write_atomically(path) would throw,
/// before hours of work depend on it.
void expect_writable(const std::filesystem::path& path);

}  // namespace weft
