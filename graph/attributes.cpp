#include <weft/graph/attributes.h>

#include <fmt/format.h>

#include <algorithm>

namespace weft {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace

std::string str(const Attribute& attribute) {
  return std::visit(
      Overloaded{[](bool v) { return std::string(v ? "true" : "false"); },
                 [](std::int64_t v) { return fmt::format("{}", v); }, [](double v) { return fmt::format("{}", v); },
                 [](const std::string& v) { return "'" + v + "'"; },
                 [](const std::vector<std::int64_t>& v) { return fmt::format("({})", fmt::join(v, ", ")); },
                 [](const Shape& v) { return v.str(); }, [](DType v) { return std::string(name_of(v)); },
                 [](const std::shared_ptr<const Constant>& v) { return "<" + v->type.str() + ">"; },
                 [](const std::shared_ptr<const Description>& v) { return v->str(); }},
      attribute);
}

bool same(const Attribute& a, const Attribute& b) {
  const auto* ca = std::get_if<std::shared_ptr<const Constant>>(&a);
  const auto* cb = std::get_if<std::shared_ptr<const Constant>>(&b);
  if (ca != nullptr && cb != nullptr) return *ca == *cb || **ca == **cb;
  const auto* da = std::get_if<std::shared_ptr<const Description>>(&a);
  const auto* db = std::get_if<std::shared_ptr<const Description>>(&b);
  if (da != nullptr && db != nullptr) return *da == *db || (*da)->same(**db);
  return a == b;
}

Attributes::Attributes(std::initializer_list<Entry> entries) {
  for (const Entry& entry : entries) set(entry.name, entry.value);
}

const Attribute* Attributes::find(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.name == name) return &entry.value;
  return nullptr;
}

void Attributes::set(std::string_view name, Attribute value) {
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), name,
                                   [](const Entry& e, std::string_view n) { return e.name < n; });
  if (at != entries_.end() && at->name == name) at->value = std::move(value);
  else entries_.insert(at, {std::string(name), std::move(value)});
}

Attributes Attributes::with(std::string_view name, Attribute value) const {
  Attributes copy = *this;
  copy.set(name, std::move(value));
  return copy;
}

Attributes Attributes::with_extent(Symbol symbol, std::int64_t value) const {
  Attributes copy = *this;
  for (Entry& entry : copy.entries_)
    if (auto* shape = std::get_if<Shape>(&entry.value)) *shape = shape->with(symbol, value);
  return copy;
}

std::string Attributes::str() const {
  if (entries_.empty()) return "";
  std::string text;
  for (const Entry& entry : entries_) text += (text.empty() ? "" : ", ") + entry.name + "=" + weft::str(entry.value);
  return "{" + text + "}";
}

bool operator==(const Attributes& a, const Attributes& b) {
  return std::ranges::equal(a.entries_, b.entries_,
                            [](const auto& x, const auto& y) { return x.name == y.name && same(x.value, y.value); });
}

void Attributes::no_such(std::string_view name) {
  WEFT_FAIL(
      "there is no attribute '{0}' of the type that is read; hint: {{\"{0}\", 2.0}} sets a number, {{\"{0}\", 2}} an "
      "integer, and "
      "attributes.get_or reads what may be missing",
      name);
}

}  // namespace weft
