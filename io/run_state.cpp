#include <weft/io/run_state.h>

#include <algorithm>
#include <charconv>
#include <vector>

namespace weft {
namespace {

constexpr std::string_view prefix = "weft.";
constexpr const char* version_key = "weft.run";
constexpr const char* seed_key = "weft.seed";
constexpr const char* runs_key = "weft.runs";
constexpr const char* version = "1";
constexpr std::size_t most_named = 8;

std::string show(DType type, const Tensor::Extents& extents) {
  std::string text;
  for (std::int64_t extent : extents) text += (text.empty() ? "" : ", ") + std::to_string(extent);
  return fmt::format("{}[{}]", name_of(type), text);
}

template <class T>
T number(const std::string& path, const Metadata& metadata, const char* key) {
  const auto text = metadata.find(key);
  WEFT_CHECK(text != metadata.end(), "'{}' is not a saved run: it has no '{}'", path, key);
  T value{};
  const char* end = text->second.data() + text->second.size();
  const auto [at, error] = std::from_chars(text->second.data(), end, value);
  WEFT_CHECK(error == std::errc() && at == end, "'{}' is not a sound saved run: its '{}' is '{}'", path, key,
             text->second);
  return value;
}

void expect_version(const std::string& path, const Metadata& metadata) {
  const auto found = metadata.find(version_key);
  WEFT_CHECK(found != metadata.end(), "'{}' is not a saved run: it has no '{}'", path, version_key);
  WEFT_CHECK(found->second == version, "'{}' is a saved run of version {}, this program reads version {}", path,
             found->second, version);
}

void expect_same_cells(const std::string& path, const SafetensorsHeader& file, const Store& store,
                       LoadRunOptions options) {
  std::vector<std::string> differences;
  for (const auto& [name, cell] : store.cells()) {
    const auto found = file.entries.find(name);
    if (found == file.entries.end()) {
      differences.push_back(fmt::format("'{}' is missing in the file", name));
    } else if (found->second.dtype != cell.tensor.dtype() || found->second.extents != cell.tensor.extents()) {
      differences.push_back(fmt::format("'{}' is {} in the file, {} in the model", name,
                                        show(found->second.dtype, found->second.extents), cell.tensor.type_str()));
    }
  }
  if (!options.allow_unused)
    for (const auto& [name, entry] : file.entries)
      if (!store.has(name)) differences.push_back(fmt::format("'{}' is only in the file", name));
  if (differences.empty()) return;
  std::string text;
  for (std::size_t i = 0; i < std::min(differences.size(), most_named); ++i) text += "\n  " + differences[i];
  if (differences.size() > most_named) text += fmt::format("\n  and {} more", differences.size() - most_named);
  WEFT_FAIL("'{}' was saved by another model:{}", path, text);
}

Metadata notes_of(Metadata metadata) {
  std::erase_if(metadata, [](const auto& note) { return note.first.starts_with(prefix); });
  return metadata;
}

}  // namespace

void save_run(const std::string& path, const Store& store, const Metadata& notes) {
  Safetensors contents;
  for (const auto& [key, note] : notes)
    WEFT_CHECK(!key.starts_with(prefix), "a note of a saved run cannot be named '{}': 'weft.' is taken", key);
  contents.metadata = notes;
  contents.metadata[version_key] = version;
  contents.metadata[seed_key] = std::to_string(store.seed());
  contents.metadata[runs_key] = std::to_string(store.runs());
  for (const auto& [name, cell] : store.cells()) contents.tensors.emplace(name, cell.tensor);  // shares the bytes
  write_safetensors(path, contents);
}

Metadata load_run(const std::string& path, Store& store, LoadRunOptions options) {
  const SafetensorsHeader header = read_safetensors_header(path);
  expect_version(path, header.metadata);
  const auto seed = number<std::uint64_t>(path, header.metadata, seed_key);
  const auto runs = number<std::int64_t>(path, header.metadata, runs_key);
  WEFT_CHECK(runs >= 0, "'{}' is not a sound saved run: its '{}' is {}", path, runs_key, runs);
  expect_same_cells(path, header, store, options);
  const Safetensors contents = read_safetensors(path);
  for (const auto& [name, cell] : store.cells()) {
    const auto found = contents.tensors.find(name);
    WEFT_CHECK(found != contents.tensors.end() && found->second.dtype() == cell.tensor.dtype() &&
                   found->second.extents() == cell.tensor.extents(),
               "'{}' changed while it was read", path);
  }
  for (const auto& [name, tensor] : contents.tensors)
    if (store.has(name)) store.set(name, tensor);
  store.set_seed(seed);
  store.set_runs(runs);
  return notes_of(contents.metadata);
}

Metadata read_run_notes(const std::string& path) {
  const SafetensorsHeader header = read_safetensors_header(path);
  expect_version(path, header.metadata);
  return notes_of(header.metadata);
}

}  // namespace weft
