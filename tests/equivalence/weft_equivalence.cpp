// Every legal chain of up to four transforms over three models, proven:
// weft_equivalence [--length N] [--jobs N] [--model NAME] [--write FILE].
#include <equivalence/pool.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>

#include <cstdio>
#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

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

// Proves every `jobs`-th chain and writes a line for each that is of note: "F" a failure, "N" nearer to its bound than
// before.
void prove_share(const ProofModel& model, const std::vector<Chain>& legal, std::size_t job, std::size_t jobs,
                 std::FILE* out) {
  double nearest = 0;
  for (std::size_t i = job; i < legal.size(); i += jobs) {
    const Proof proof = prove(model, legal[i]);
    if (!proof.passed()) {
      std::cout << "FAILED " << str(proof.chain) << "\n  against " << str(proof.reduced) << "\n"
                << (proof.error.empty() ? proof.result.str() : proof.error) << std::endl;
      std::fputs(("F" + str(proof.chain) + "\n").c_str(), out);
    }
    for (const Equivalence::Row& row : proof.result.worst) {
      if (!row.twin || row.bound <= 0 || row.error / row.bound <= nearest) continue;
      nearest = row.error / row.bound;
      std::fputs(fmt::format("N{} {} in {}\n", nearest, row.str(), str(proof.chain)).c_str(), out);
    }
    if (job == 0 && i % 500 < jobs) std::cout << "  " << i << " of " << legal.size() << std::endl;
  }
}

// Reads what prove_share wrote.
void add_share(std::FILE* in, Tally& tally) {
  std::rewind(in);
  std::string line;
  for (int c = std::fgetc(in); c != EOF; c = std::fgetc(in)) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    if (line.front() == 'F') tally.failures.push_back(line.substr(1));
    if (const double ratio = line.front() == 'N' ? std::stod(line.substr(1)) : 0; ratio > tally.nearest) {
      tally.nearest = ratio;
      tally.nearest_what = line.substr(line.find(' ') + 1);
    }
    line.clear();
  }
}

Tally prove_all(const ProofModel& model, std::size_t length, std::size_t jobs) {
  Tally tally;
  tally.model = model.name;
  const Enumeration all = chains(model, length);
  tally.legal = all.legal.size();
  tally.refused = all.refused;
  std::cout << model.name << ": " << all.legal.size() << " legal chains, " << all.refused << " refused" << std::endl;
  for (const Chain& chain : all.legal)
    for (const std::size_t at : chain) ++tally.chains_with[pool()[at].name];

  // Each share in a process of its own: steps are planned by one thread.
  std::vector<std::FILE*> shares;
  std::vector<pid_t> children;
  for (std::size_t job = 0; job < jobs; ++job) {
    shares.push_back(std::tmpfile());
    const pid_t child = fork();
    if (child == 0) {
      prove_share(model, all.legal, job, jobs, shares.back());
      std::fflush(shares.back());
      std::_Exit(0);
    }
    children.push_back(child);
  }
  for (std::size_t job = 0; job < jobs; ++job) {
    int status = 0;
    if (children[job] < 0 || waitpid(children[job], &status, 0) < 0 || status != 0)
      tally.failures.push_back(fmt::format("share {} of {} ended early", job, jobs));
    add_share(shares[job], tally);
    std::fclose(shares[job]);
  }
  tally.passed = static_cast<std::int64_t>(tally.legal - tally.failures.size());
  for (const std::string& refusal : all.bad_refusals)
    tally.failures.push_back("refused without the right order: " + refusal);
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
    out << "| " << entry.name << (entry.longest < length ? fmt::format(" (in chains of up to {})", entry.longest) : "")
        << " | " << count << " |\n";
  }
  out << "\nIn float64, nearest to its bound:\n\n";
  for (const Tally& tally : tallies) out << "- " << tally.model << ": " << tally.nearest_what << "\n";
  for (const Tally& tally : tallies)
    for (const std::string& failure : tally.failures) out << "\nFailed (" << tally.model << "): " << failure << "\n";
}

}  // namespace

constexpr const char* usage =
    "usage: weft_equivalence [--length N] [--jobs N] [--model gpt|encoder|regression] [--write FILE]\n";

int main(int argc, char** argv) {
  std::size_t length = 4, jobs = 2;
  std::string file, only;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) {
      std::cerr << usage;
      return 2;
    }
    if (flag == "--length") length = static_cast<std::size_t>(std::atoi(argv[i + 1]));
    else if (flag == "--jobs") jobs = static_cast<std::size_t>(std::max(1, std::atoi(argv[i + 1])));
    else if (flag == "--model") only = argv[i + 1];
    else if (flag == "--write") file = argv[i + 1];
    else {
      std::cerr << "unknown flag " << flag << "; " << usage;
      return 2;
    }
  }
  set_threads(1);  // small models: two threads would wait for each other
  std::vector<Tally> tallies;
  for (const ProofModel& model : proof_models())
    if (only.empty() || model.name == only) tallies.push_back(prove_all(model, length, jobs));
  if (tallies.empty()) {
    std::cerr << "no model is named " << only << "; " << usage;
    return 2;
  }
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
