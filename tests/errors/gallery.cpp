#include "gallery.h"

#include <weft/graph/error.h>
#include <weft/io/text.h>

#include <fmt/format.h>

#include <support/temporary_folder.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <sstream>

namespace weft::gallery {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::size_t indentation(const std::string& line) { return std::min(line.find_first_not_of(' '), line.size()); }

// Lines of the user are those of the code shown; a path of this machine's temporary folder is no one's.
std::string for_the_page(const std::string& message, const std::string& file, const Code& code) {
  std::string text;
  constexpr std::string_view extension = ".cpp:", digits = "0123456789";
  const auto in_name = [](char letter) { return std::isalnum(static_cast<unsigned char>(letter)) || letter == '_'; };
  std::size_t from = 0;  // what lies before it is in `text`
  for (std::size_t dot = 0; (dot = message.find(extension, dot)) != std::string::npos; dot += extension.size()) {
    std::size_t name = dot, number = dot + extension.size();
    while (name > from && in_name(message[name - 1])) --name;
    const std::size_t end = std::min(message.find_first_not_of(digits, number), message.size());
    if (name == dot || number == end) continue;
    const unsigned line = static_cast<unsigned>(std::stoul(message.substr(number, end - number)));
    WEFT_CHECK(message.substr(name, dot + 4 - name) == file && code.first <= line && line <= code.last,
               "'{}' names the line {}, which is not in the code of the entry: build all of it there", message,
               message.substr(name, end - name));
    text += message.substr(from, name - from) + fmt::format("example.cpp:{}", line - code.first + 1);
    from = end;
  }
  return text + message.substr(from);
}

}  // namespace

std::vector<Group> all_groups() {
  return {shape_errors(),   graph_errors(), attention_errors(), gradient_errors(), order_errors(), setting_errors(),
          program_errors(), store_errors(), file_errors(),      model_errors(),    own_op_errors()};
}

std::string message_of(const Entry& entry) {
  const test::TemporaryFolder folder;  // in it entries write files of short names
  const std::filesystem::path back = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  std::string message;
  try {
    entry.run();
  } catch (const UserError& error) {
    message = error.what();
  }
  std::filesystem::current_path(back);
  return message;
}

Code code_of(const Entry& entry, const std::string& source) {
  const std::vector<std::string> lines = lines_of(source);
  Code code;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].find("{\"" + entry.title + "\",") == std::string::npos) continue;
    while (i < lines.size() && lines[i].find("[] {") == std::string::npos) ++i;
    if (i < lines.size() && !lines[i].ends_with("[] {")) {  // in one line: [] { f(); }},
      const std::size_t from = lines[i].find("[] {") + 5, to = lines[i].rfind(" }");
      return {lines[i].substr(from, to - from) + "\n", static_cast<unsigned>(i + 1), static_cast<unsigned>(i + 1)};
    }
    const std::size_t inside = ++i < lines.size() ? indentation(lines[i]) : 0;
    code.first = static_cast<unsigned>(i + 1);
    for (; i < lines.size() && (lines[i].empty() || indentation(lines[i]) >= inside); ++i)
      code.text += lines[i].substr(std::min(inside, lines[i].size())) + "\n";
    code.last = static_cast<unsigned>(i);
    return code;
  }
  return code;
}

std::string page(const std::string& folder) {
  std::string text =
      "# Errors\n\nWhat weft says when a program asks for what cannot be. Each message names what is wrong and where, "
      "what "
      "was expected,\nwhat it got, and where there is a cure, the cure. This page is made: "
      "`build/release/bin/weft_errors "
      "tests/errors > docs/errors.md`\nruns the code below and writes down what it threw; the same entries are tests "
      "([tests/errors/](../tests/errors)).\n\n";
  std::size_t count = 0;
  const std::vector<Group> groups = all_groups();
  for (const Group& group : groups) count += group.entries.size();
  text += fmt::format("{} errors in {} groups:\n\n", count, groups.size());
  for (const Group& group : groups) {
    text += fmt::format("- {} ([source](../tests/errors/{}))\n", group.title, group.file);
    for (const Entry& entry : group.entries) text += fmt::format("  - {}\n", entry.title);
  }
  for (const Group& group : groups) {
    text += fmt::format("\n## {}\n", group.title);
    const std::string source = read_text(folder + "/" + group.file);
    for (const Entry& entry : group.entries) {
      const Code code = code_of(entry, source);
      WEFT_CHECK(!code.text.empty(), "{}/{} holds no code of the entry '{}'", folder, group.file, entry.title);
      const std::string message = message_of(entry);
      WEFT_CHECK(!message.empty(), "the entry '{}' throws no UserError", entry.title);
      text += fmt::format("\n### {}\n\n```cpp\n{}```\n\n```text\n{}\n```\n", entry.title, code.text,
                          for_the_page(message, group.file, code));
    }
  }
  return text;
}

}  // namespace weft::gallery
