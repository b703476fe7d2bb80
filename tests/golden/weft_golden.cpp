// weft_golden DIR [NAME...]: the cases of a folder (or those named), each a safetensors file with inputs, results and
// gradients that another library computed. A line a case, then `N passed, N failed, N skipped`.
#include "golden.h"

#include <weft/graph/error.h>
#include <weft/ops/all.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

namespace {

struct Listed {
  std::string name, text;
};

std::vector<Listed> read_index(const std::filesystem::path& folder) {
  std::ifstream in(folder / "index.tsv");
  WEFT_CHECK(in.is_open(), "'{}' cannot be opened", (folder / "index.tsv").string());
  std::vector<Listed> listed;
  for (std::string line; std::getline(in, line);) {
    const std::size_t tab = line.find('\t');
    if (!line.empty()) listed.push_back({line.substr(0, tab), tab == std::string::npos ? "" : line.substr(tab + 1)});
  }
  WEFT_CHECK(!listed.empty(), "'{}' lists nothing", (folder / "index.tsv").string());
  return listed;
}

int run(const std::filesystem::path& folder, const std::set<std::string>& names) {
  weft::register_all();
  golden::Cases cases;
  for (golden::Cases part : {golden::basic_cases(), golden::loss_cases(), golden::attention_cases(),
                             golden::transformer_cases(), golden::training_cases(), golden::optim_cases()})
    cases.merge(part);
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  auto check = [&](const std::string& name, const std::function<std::string()>& compute) {
    std::string problem;
    try {
      problem = compute();
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (problem.empty()) fmt::print("passed   {}\n", name);
    else fmt::print("FAILED   {}: {}\n", name, problem);
    ++(problem.empty() ? passed : failed);
    std::fflush(stdout);
  };
  for (const Listed& listed : read_index(folder)) {
    if (!names.empty() && !names.contains(listed.name)) continue;
    const auto found = cases.find(listed.name);
    if (found == cases.end()) {
      fmt::print("skipped  {}: not in this version ({})\n", listed.name, listed.text);
      ++skipped;
      continue;
    }
    check(listed.name, [&] { return found->second(weft::read_safetensors(folder / (listed.name + ".safetensors"))); });
  }
  for (const auto& [file, compute] : golden::file_cases()) {
    const std::filesystem::path path = folder / file;
    const std::string name = path.stem().string();
    if (std::filesystem::exists(path) && (names.empty() || names.contains(name)))
      check(name, [&] { return compute(path); });
  }
  fmt::print("{} passed, {} failed, {} skipped\n", passed, failed, skipped);
  return failed == 0 && passed + skipped > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: weft_golden DIR [NAME...]\n");
    return 2;
  }
  try {
    return run(argv[1], {argv + 2, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "weft_golden: {}\n", error.what());
    return 1;
  }
}
