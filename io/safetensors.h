// Reads and writes tensors by name in one file, in the safetensors format (Hugging Face, format description of version
// 0.4).
//
//   8 bytes   N, unsigned, little endian
//   N bytes   JSON, padded with spaces to a multiple of 8:
//             {"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
//   the rest  the tensors' bytes, row-major, little endian; offsets count from here and leave no gap
//
// Reading checks everything: a corrupt file is one UserError that says what is wrong, and nothing is read past it. It
// takes time and memory in proportion to the file.
// What is written depends on the tensors and the metadata alone, so equal runs give equal files.
#pragma once

#include <weft/graph/shape.h>
#include <weft/runtime/tensor.h>

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>

namespace weft {

using Metadata = std::map<std::string, std::string>;

struct Safetensors {
  std::map<std::string, Tensor> tensors;
  Metadata metadata;
};

/// What a file holds, without the tensors' bytes.
struct SafetensorsHeader {
  struct Entry {
    DType dtype = f32;
    Tensor::Extents extents;
    std::uint64_t begin = 0, end = 0;  ///< bytes, from the end of the header
  };
  std::map<std::string, Entry> entries;
  Metadata metadata;
  std::uint64_t data_begin = 0;  ///< byte of the file at which the tensors begin
};

/// UserError: no such file, or one that is not exactly in the format (too short, header not JSON, a name twice, an
/// unknown dtype, a shape that does not fit its bytes, offsets that overlap, leave a gap or end outside the file).
Safetensors read_safetensors(const std::string& path);
SafetensorsHeader read_safetensors_header(const std::string& path);
/// The same from memory; `name` stands for the path in error messages.
Safetensors parse_safetensors(std::string_view bytes, const std::string& name = "memory");

/// UserError: a name that no tensor can have in such a file, "__metadata__" or one that is not UTF-8.
void expect_tensor_name(std::string_view name);

/// The file is written whole or not at all (io/atomic_file.h). Widest dtypes first, then by name, so that every tensor
/// is aligned in the file. UserError, before anything is written: the file cannot be written; a name that
/// expect_tensor_name refuses, a note that is not UTF-8, an empty Tensor(), names too long for the format.
void write_safetensors(const std::string& path, const Safetensors& contents);

}  // namespace weft
