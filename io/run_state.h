// Saves a training run as one file and loads it, so that it continues with the same bits. The file holds every tensor
// of the Store (parameters, states, counters), the seed and the number of runs, which determine random numbers and the
// order of the data, and the caller's notes (the recipe, the vocabulary). One safetensors file, so that a crash can
// never leave two halves of different age (docs/decisions/0004-one-file-for-a-run.md). No time stamps: equal runs give
// equal files.
#pragma once

#include <weft/io/safetensors.h>
#include <weft/runtime/store.h>

#include <string>

namespace weft {

/// Writes the run to `path`, whole or not at all (io/atomic_file.h). Keys of `notes` that begin with "weft." are
/// reserved: "weft.run" (version), "weft.seed", "weft.runs".
void save_run(const std::string& path, const Store& store, const Metadata& notes = {});

struct LoadRunOptions {
  /// Ignore tensors that only the file has (an optimizer's state, to generate text). A tensor that the file lacks is
  /// always an error.
  bool allow_unused = false;
};
/// Fills the store and returns the notes. UserError, and the store stays as it was: the file is no saved run or is
/// damaged; names, dtypes or shapes differ from the store's (every difference is named, up to eight).
Metadata load_run(const std::string& path, Store& store, LoadRunOptions options = {});

/// The notes alone, to build the model before its parameters are read.
Metadata read_run_notes(const std::string& path);

}  // namespace weft
