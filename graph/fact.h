// Facts of a step: what a transform promises once it has been applied, and what others need or forbid.
#pragma once

#include <compare>
#include <string>
#include <utility>

namespace weft {

/// A fact with its texts for messages, declared once, as a constant, beside the transform that promises it
/// (autodiff/facts.h, optim/facts.h).
struct KnownFact {
  const char* name;
  const char* meaning;        ///< what holds: "the gradients are already clipped"
  const char* provider;       ///< what to apply to get it: "clip_global_norm(1.0)"
  bool begins_chain = false;  ///< its provider is not a transform but the start of a chain
};

/// A fact, identified by its name. A user's own can be a plain string; a KnownFact adds the texts for messages.
class Fact {
 public:
  Fact(const char* name) : name_(name) {}                              // NOLINT: implicit
  Fact(std::string name) : name_(std::move(name)) {}                   // NOLINT: implicit
  Fact(const KnownFact& known) : name_(known.name), known_(&known) {}  // NOLINT: implicit
  Fact(const KnownFact&&) = delete;  // only its address is kept: it must be a constant

  const std::string& name() const { return name_; }
  std::string meaning() const {
    return known_ == nullptr ? "this step is already '" + name_ + "'" : std::string(known_->meaning);
  }
  std::string provider() const {
    return known_ == nullptr ? "a transform that promises '" + name_ + "'" : std::string(known_->provider);
  }
  bool has_words() const { return known_ != nullptr; }
  bool begins_chain() const { return known_ != nullptr && known_->begins_chain; }

  friend bool operator==(const Fact& a, const Fact& b) { return a.name_ == b.name_; }
  friend auto operator<=>(const Fact& a, const Fact& b) { return a.name_ <=> b.name_; }

 private:
  std::string name_;
  const KnownFact* known_ = nullptr;
};

}  // namespace weft
