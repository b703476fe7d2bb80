// A run as one file, from which it goes on with the same bits: every cell of the Store (parameters, optimizer state,
// counters), the seed and the count of runs, which keys randomness and the order of the data, and the caller's notes
// (the recipe, the vocabulary). One safetensors file, so that a crash can never leave two halves of different age
// (docs/decisions/0004-one-file-for-a-run.md). No time stamps: equal runs give equal files.
#pragma once

#include <weft/io/safetensors.h>
#include <weft/runtime/store.h>

#include <string>

namespace weft {

/// Keys beginning with "weft." are taken: "weft.run" (version), "weft.seed", "weft.runs".
void save_run(const std::string& path, const Store& store, const Metadata& notes = {});

struct LoadRunOptions {
  /// Cells that only the file has are passed over (an optimizer's state, to generate text). A cell that the file lacks
  /// is always an error.
  bool allow_unused = false;
};
/// Fills the store and returns the notes. UserError, and the store stays as it was: the file is no sound save; names,
/// dtypes or shapes differ from the store's (every difference is named, up to eight).
Metadata load_run(const std::string& path, Store& store, LoadRunOptions options = {});

/// The notes alone, to build the model before its parameters are read.
Metadata read_run_notes(const std::string& path);

}  // namespace weft
