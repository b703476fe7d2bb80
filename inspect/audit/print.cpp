#include <weft/inspect/audit/parts.h>

#include <weft/inspect/audit/blocks.h>

#include <algorithm>
#include <array>
#include <map>
#include <ostream>

namespace weft {
namespace {

constexpr std::array kinds{"stop_gradient", "integer",     "comparison",       "no_derivative",
                           "zero_jacobian", "no_backward", "unused_parameter", "unused_output",
                           "duplicate",     "not_updated", "batch_mixed"};

std::string joined(const std::vector<std::string>& names, const char* between) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : between) + name;
  return text;
}

// Rows that differ in one number of their path only: "decoder/0..11/attention/query/weight".
struct Line {
  std::string path;  // of the first, with the numbers of all
  const Audit::Row* row = nullptr;
  double least = 0, most = 0;  // paths
  std::size_t count = 0;
};

std::string number_of(const Audit::Row& row) {
  const std::string block = block_of(row.path);
  const std::string last = block.substr(block.rfind('/') + 1);
  const bool is_number = !last.empty() && last.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? last : "";
}

std::vector<Line> lines_of(const Audit& audit) {
  std::vector<Line> lines;
  // key -> line, first and last number
  std::map<std::string, std::pair<std::size_t, std::pair<std::string, std::string>>> groups;
  for (const Audit::Row& row : audit.parameters) {
    const std::string number = number_of(row);
    if (number.empty()) {
      lines.push_back({row.path, &row, row.paths, row.paths, 1});
      continue;
    }
    const std::string block = block_of(row.path), series = block.substr(0, block.size() - number.size());
    const std::string rest = row.path.substr(block.size());
    const std::string key = fmt::format("{}#{} {} {}{}{}{} {}", series, rest, row.type.str(), row.reached, row.updated,
                                        row.frozen, row.paths == 0, row.cut);
    const auto [at, is_new] = groups.try_emplace(key, lines.size(), std::pair{number, number});
    if (is_new) {
      lines.push_back({row.path, &row, row.paths, row.paths, 1});
      continue;
    }
    Line& line = lines[at->second.first];
    at->second.second.second = number;
    line.path = fmt::format("{}{}..{}{}", series, at->second.second.first, number, rest);
    line.least = std::min(line.least, row.paths);
    line.most = std::max(line.most, row.paths);
    ++line.count;
  }
  return lines;
}

// The worst first; of those of one kind that one line of the user made (in each layer) the first.
std::string lines_of(const std::vector<Finding>& findings) {
  std::map<std::pair<Finding::Kind, std::string>, std::size_t> count;
  for (const Finding& finding : findings) ++count[{finding.kind, finding.where}];
  std::string text;
  for (const Finding::Severity severity :
       {Finding::Severity::error, Finding::Severity::warning, Finding::Severity::note})
    for (const Finding& finding : findings) {
      std::size_t& left = count[{finding.kind, finding.where}];
      if (finding.severity != severity || left == 0) continue;
      text += "  " + finding.str() + (left > 1 ? fmt::format(" (and {} more of this line)", left - 1) : "") + "\n";
      left = 0;
    }
  return text;
}

std::string paths_str(double count) {
  return count < 1e6 ? fmt::format("{:.0f}", count) : fmt::format("{:.1e}", count);
}

}  // namespace

std::string_view name_of(Finding::Kind kind) { return kinds.at(static_cast<std::size_t>(kind)); }
std::string_view name_of(Finding::Severity severity) {
  return severity == Finding::Severity::error ? "error" : severity == Finding::Severity::warning ? "warning" : "note";
}

std::string Finding::str() const { return fmt::format("{}: {} ({}): {}", name_of(severity), path, where, message); }

std::string Audit::str() const {
  std::string text = fmt::format(
      "step: {}\n  {} nodes; {}\n  publishes {}\n", joined(history, " | "), nodes,
      differentiated ? fmt::format("{} of {} parameters learn ({} of {} elements)",
                                   std::ranges::count_if(parameters, [](const Row& row) { return row.reached; }),
                                   parameters.size(), trained, total)
                     : fmt::format("{} parameters ({} elements), no backward pass", parameters.size(), total),
      joined(published, ", "));
  const std::vector<Line> lines = lines_of(*this);
  std::size_t width = 9, type = 4;
  for (const Line& line : lines) {
    width = std::max(width, line.path.size());
    type = std::max(type, line.row->type.str().size());
  }
  text +=
      fmt::format("  {:<{}}  {:<{}}  gradient  update  {:<16}  through\n", "parameter", width, "type", type, "paths");
  for (const Line& line : lines) {
    const Row& row = *line.row;
    const std::string count = line.count == 1 || line.least == line.most
                                  ? paths_str(line.most)
                                  : paths_str(line.most) + " .. " + paths_str(line.least);
    text += fmt::format("  {:<{}}  {:<{}}  {:<8}  {:<6}  {:<16}  {}{}\n", line.path, width, row.type.str(), type,
                        !differentiated ? "-"
                        : row.frozen    ? "frozen"
                        : row.reached   ? "yes"
                                        : "NO",
                        !differentiated ? "-"
                        : row.updated   ? "yes"
                                        : "no",
                        count, joined_blocks(row.blocks), row.cut.empty() || !differentiated ? "" : "  <- " + row.cut);
  }
  text += "  op                      forward backward  other\n";
  for (const Use& use : ops)
    text += fmt::format("  {:<22} {:>8} {:>8} {:>6}\n", use.op, use.forward, use.backward, use.other);
  return text + lines_of(findings);
}

std::ostream& operator<<(std::ostream& out, const Audit& audit) { return out << audit.str(); }

}  // namespace weft
