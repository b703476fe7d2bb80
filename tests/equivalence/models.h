// Three small models on which transforms are proven, and the feeds that go with them.
#pragma once

#include <weft/weft.h>

#include <string>
#include <vector>

namespace weft::test {

struct ProofModel {
  std::string name;
  Loss loss;
  EquivalenceOptions options;
};

/// Dropout, tied embeddings, targets that are ignored.
ProofModel small_gpt();
/// Post-norm encoder with padding masks; two losses with weights of their own (tokens and sequences).
ProofModel small_encoder();
/// A perceptron with a term of the loss that is free of the batch; run 1 of its feeds overflows.
ProofModel small_regression();
std::vector<ProofModel> proof_models();

}  // namespace weft::test
