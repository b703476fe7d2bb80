// A sample of the legal chains of up to four transforms; all of them: ./weft check equivalence (docs/equivalence.md).
#include <equivalence/pool.h>
#include <support/catch.h>

#include <algorithm>
#include <iostream>
#include <optional>

using namespace weft;
using namespace weft::test;

namespace {

constexpr std::size_t sampled = 30;  // of each model

void prove_a_sample(const ProofModel& model, std::uint32_t seed) {
  const Enumeration drawn = drawn_chains(model, sampled, seed);
  for (const std::string& refusal : drawn.bad_refusals) UNSCOPED_INFO(refusal);
  CHECK(drawn.bad_refusals.empty());
  std::int64_t failed = 0;
  for (const Chain& chain : drawn.legal) {
    const Proof proof = prove(model, chain);
    failed += !proof.passed();
    INFO(str(proof.chain) << "\nagainst " << str(proof.reduced) << "\n" << proof.error << "\n" << proof.result.str());
    CHECK(proof.passed());
  }
  std::cout << "compositions over " << model.name << ": " << drawn.legal.size() << " chains ran, " << failed
            << " failed, " << drawn.refused << " transforms were refused on the way\n";
}

}  // namespace

TEST_CASE("chains over a GPT keep what they claim", "[optim][equivalence][compositions]") {
  prove_a_sample(small_gpt(), 1);
}

TEST_CASE("chains over an encoder with two losses keep what they claim", "[optim][equivalence][compositions]") {
  prove_a_sample(small_encoder(), 2);
}

TEST_CASE("chains over a regression that overflows once keep what they claim", "[optim][equivalence][compositions]") {
  prove_a_sample(small_regression(), 3);
}

TEST_CASE("each transform of the pool is part of a legal chain", "[optim][equivalence][compositions]") {
  const auto after = [](const Step& step, std::size_t i) -> std::optional<Step> {
    try {
      return pool()[i].apply(step);
    } catch (const UserError&) {
      return std::nullopt;
    }
  };
  const Step start = training_step(small_regression().loss);
  for (std::size_t i = 0; i < pool().size(); ++i) {
    bool legal = after(start, i).has_value();
    for (std::size_t j = 0; !legal && j < pool().size(); ++j)
      if (const std::optional<Step> step = after(start, j)) legal = after(*step, i).has_value();
    INFO(pool()[i].name);
    CHECK(legal);
  }
}
