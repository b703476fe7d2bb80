#include <weft/inspect/equivalence/verify_equivalent.h>

#include <algorithm>
#include <ostream>

namespace weft {
namespace {

const char* text_of(Claim claim) {
  switch (claim) {
    case Claim::same_bits:
      return "same bits";
    case Claim::rounding:
      return "equal up to rounding";
    case Claim::changes_meaning:
      return "changes the meaning";
  }
  return "";
}

std::string text_of(const Equivalence::ClaimLine& line) {
  const Applied& transform = line.transform;
  std::string text = fmt::format("  {:<28} {}", transform.name, text_of(transform.claim));
  if (transform.claim == Claim::rounding && transform.rounds_to != f64)
    text += fmt::format(" to {}", name_of(transform.rounds_to));
  if (transform.claim == Claim::changes_meaning) {
    if (!transform.change.empty()) text += ": " + transform.change;
    text += transform.law ? " (its law predicts the gradients)" : " (loss and gradients before it must agree)";
  }
  return text + (line.of_before ? "  [only before]\n" : "\n");
}

}  // namespace

std::string Equivalence::Row::str() const {
  const std::string types = twin ? "float64 twin" : std::string(name_of(dtype));
  std::string text = fmt::format("{} '{}', {}, run {}: ", kind, name, types, run);
  if (!note.empty()) return text + note;
  if (bound == 0)
    return text + (error == 0 ? "the same bits" : fmt::format("differs by {:.3g}, expected the same bits", error));
  return text + fmt::format("error {:.3g}, bound {:.3g}", error, bound);
}

std::string Equivalence::str() const {
  std::string text =
      fmt::format("{}\n  before: {}\n  after:  {}\n", passed() ? "equivalent" : "NOT EQUIVALENT", before, after);
  text += claims.empty() ? "claims: the same transforms, so the same bits\n" : "claims:\n";
  for (const ClaimLine& line : claims) text += text_of(line);
  text += fmt::format("compared in {} runs ({} of them with gradients that are not finite):", runs, skipped);
  for (const auto& [kind, count] : compared)
    text += fmt::format(" {} x {}{}", count, kind, kind == compared.rbegin()->first ? "" : ",");
  text += "\n";
  for (const Row& row : worst) text += "  nearest to its bound: " + row.str() + "\n";
  if (passed()) return text;
  text += fmt::format("{} quantities differ:\n", failures.size());
  for (std::size_t i = 0; i < std::min<std::size_t>(failures.size(), 8); ++i) text += "  " + failures[i].str() + "\n";
  if (failures.size() > 8) text += fmt::format("  ... and {} more\n", failures.size() - 8);
  if (first) text += "first node that differs: " + first->str() + "\n";
  if (!first_quantity.empty()) text += "the first of them comes from: " + first_quantity + "\n";
  return text;
}

std::ostream& operator<<(std::ostream& out, const Equivalence& equivalence) { return out << equivalence.str(); }

}  // namespace weft
