// The transforms from which chains are made, and the chains: every order of up to four that a step accepts.
#pragma once

#include <equivalence/models.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace weft::test {

struct PoolEntry {
  std::string name;  ///< in chains; unique
  std::function<Step(const Step&)> apply;
  std::size_t longest = 4;  ///< chains that it is part of
};
const std::vector<PoolEntry>& pool();

/// One chain: indices into pool().
using Chain = std::vector<std::size_t>;
std::string str(const Chain& chain);

/// What trying every chain of up to `length` transforms gave (of a transform, no longer than PoolEntry::longest).
struct Enumeration {
  std::vector<Chain> legal;
  std::int64_t refused = 0;               ///< prefixes that a transform refused, with a right message
  std::vector<std::string> bad_refusals;  ///< not a UserError, or one that does not say the right order
};
Enumeration chains(const ProofModel& model, std::size_t length);
/// `count` chains of up to four transforms drawn by `seed`, and what was refused on the way.
Enumeration drawn_chains(const ProofModel& model, std::size_t count, std::uint32_t seed);

/// The chain against the same without the transforms that keep the meaning (or, where all change it, against none).
struct Proof {
  Chain chain, reduced;
  Equivalence result;
  std::string error;  ///< what was thrown instead
  bool passed() const { return error.empty() && result.passed(); }
};
Proof prove(const ProofModel& model, const Chain& chain);

}  // namespace weft::test
