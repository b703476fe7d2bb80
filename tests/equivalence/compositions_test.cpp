// A sample of the legal chains of up to four transforms; all of them: ./weft check equivalence (docs/equivalence.md).
#include <equivalence/pool.h>
#include <support/catch.h>

#include <algorithm>
#include <iostream>

using namespace weft;
using namespace weft::test;

namespace {

constexpr std::size_t sampled = 40;  // of each model

// Every n-th chain: chains are sorted, so all first transforms take part.
void prove_a_sample(const ProofModel& model, std::size_t offset) {
  const Enumeration all = chains(model, 4);
  for (const std::string& refusal : all.bad_refusals) UNSCOPED_INFO(refusal);
  CHECK(all.bad_refusals.empty());
  REQUIRE_FALSE(all.legal.empty());
  const std::size_t stride = std::max<std::size_t>(1, all.legal.size() / sampled);
  std::int64_t ran = 0, failed = 0;
  for (std::size_t i = offset % stride; i < all.legal.size(); i += stride) {
    const Proof proof = prove(model, all.legal[i]);
    ++ran;
    failed += !proof.passed();
    INFO(str(proof.chain) << "\nagainst " << str(proof.reduced) << "\n" << proof.error << "\n" << proof.result.str());
    CHECK(proof.passed());
  }
  std::cout << "compositions over " << model.name << ": " << ran << " of " << all.legal.size() << " legal chains ran, "
            << failed << " failed; " << all.refused << " were refused\n";
}

}  // namespace

TEST_CASE("chains over a GPT keep what they claim", "[optim][equivalence][compositions]") {
  prove_a_sample(small_gpt(), 1);
}

TEST_CASE("chains over an encoder with two losses keep what they claim", "[optim][equivalence][compositions]") {
  prove_a_sample(small_encoder(), 2);
}

TEST_CASE("chains over a regression with a run that overflows keep what they claim",
          "[optim][equivalence][compositions]") {
  prove_a_sample(small_regression(), 3);
}

TEST_CASE("each transform of the pool is part of a legal chain", "[optim][equivalence][compositions]") {
  const Enumeration all = chains(small_regression(), 2);
  for (std::size_t i = 0; i < pool().size(); ++i) {
    INFO(pool()[i].name);
    CHECK(
        std::ranges::any_of(all.legal, [&](const Chain& chain) { return std::ranges::find(chain, i) != chain.end(); }));
  }
}
