// A kernel run without a program, each of its buffers between guard bytes: a write outside of them shows. Private to
// inspect/.
#pragma once

#include <weft/runtime/kernel.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace weft {

struct HandRun {
  std::vector<std::vector<std::byte>> outputs;
  /// "writes 4 bytes behind output 'y'", "writes into operand 0"; "": it stays in what it was given
  std::string fault = {};
};

/// The kernel for the view's types over copies of `operands` (empty: absent). Outputs, workspace and the guards around
/// all hold `pattern` before: what is made of it differs between two patterns. UserError: the kernel's own.
HandRun run_by_hand(const OpView& view, std::span<const std::span<const std::byte>> operands, std::byte pattern,
                    std::int64_t row_offset = 0, std::size_t guard = 256);

/// HandRun::fault of a run in a child process, where a kernel that writes far outside ends nothing but the child:
/// "ends the process (Segmentation fault): ...".
std::string fault_in_child(const OpView& view, std::span<const std::span<const std::byte>> operands);

}  // namespace weft
