// Every legal chain of up to four transforms over three models, proven: weft_equivalence [--length N] [--write FILE].
#include <equivalence/pool.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>

#include <cstdlib>

using namespace weft;
using namespace weft::test;

namespace {

struct Tally {
  std::string model;
  std::size_t legal = 0;
  std::int64_t refused = 0, passed = 0;
  std::vector<std::string> failures;
  std::map<std::string, std::int64_t> chains_with;  // by transform
  double nearest = 0;                               // error over bound, the largest
  std::string nearest_what;
};

Tally prove_all(const ProofModel& model, std::size_t length) {
  Tally tally;
  tally.model = model.name;
  const Enumeration all = chains(model, length);
  tally.legal = all.legal.size();
  tally.refused = all.refused;
  for (const std::string& refusal : all.bad_refusals)
    tally.failures.push_back("refused without the right order: " + refusal);
  std::cout << model.name << ": " << all.legal.size() << " legal chains, " << all.refused << " refused\n";
  for (std::size_t i = 0; i < all.legal.size(); ++i) {
    const Proof proof = prove(model, all.legal[i]);
    for (const std::size_t at : proof.chain) ++tally.chains_with[pool()[at].name];
    if (proof.passed()) {
      ++tally.passed;
    } else {
      tally.failures.push_back(str(proof.chain));
      std::cout << "FAILED " << str(proof.chain) << "\n  against " << str(proof.reduced) << "\n"
                << (proof.error.empty() ? proof.result.str() : proof.error) << "\n";
    }
    for (const Equivalence::Row& row : proof.result.worst)
      if (row.twin && row.bound > 0 && row.error / row.bound > tally.nearest) {
        tally.nearest = row.error / row.bound;
        tally.nearest_what = row.str() + " in " + str(proof.chain);
      }
    if ((i + 1) % 100 == 0) std::cout << "  " << i + 1 << " of " << all.legal.size() << std::endl;
  }
  return tally;
}

void write(std::ostream& out, const std::vector<Tally>& tallies, std::size_t length) {
  out << "# Equivalence\n\nEvery chain of up to " << length << " of the " << pool().size()
      << " transforms below behind `training_step`, in every order, over three models\n"
         "(tests/equivalence/models.cpp). A chain that a step accepts is compared by `verify_equivalent` with the same "
         "chain\n"
         "without the transforms that keep the meaning; of the others the error must say what comes first. Written by\n"
         "`./weft check equivalence`.\n\n"
         "| model | legal chains | proven | failed | refused |\n| --- | --- | --- | --- | --- |\n";
  for (const Tally& tally : tallies)
    out << "| " << tally.model << " | " << tally.legal << " | " << tally.passed << " | " << tally.failures.size()
        << " | " << tally.refused << " |\n";
  out << "\n| transform | chains with it |\n| --- | --- |\n";
  for (const PoolEntry& entry : pool()) {
    std::int64_t count = 0;
    for (const Tally& tally : tallies)
      if (const auto at = tally.chains_with.find(entry.name); at != tally.chains_with.end()) count += at->second;
    out << "| " << entry.name << " | " << count << " |\n";
  }
  out << "\nIn float64, nearest to its bound:\n\n";
  for (const Tally& tally : tallies) out << "- " << tally.model << ": " << tally.nearest_what << "\n";
  for (const Tally& tally : tallies)
    for (const std::string& failure : tally.failures) out << "\nFailed (" << tally.model << "): " << failure << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t length = 4;
  std::string file;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--length")
      length = static_cast<std::size_t>(std::atoi(argv[i + 1]));
    else if (flag == "--write")
      file = argv[i + 1];
    else {
      std::cerr << "unknown flag " << flag << "; usage: weft_equivalence [--length N] [--write FILE]\n";
      return 2;
    }
  }
  set_threads(1);  // small models: two threads would wait for each other
  std::vector<Tally> tallies;
  for (const ProofModel& model : proof_models()) tallies.push_back(prove_all(model, length));
  std::size_t failed = 0;
  std::int64_t passed = 0;
  for (const Tally& tally : tallies) {
    failed += tally.failures.size();
    passed += tally.passed;
  }
  if (!file.empty()) {
    std::ofstream out(file);
    write(out, tallies, length);
  }
  write(std::cout, tallies, length);
  std::cout << passed << " chains proven, " << failed << " failed\n";
  return failed == 0 ? 0 : 1;
}
