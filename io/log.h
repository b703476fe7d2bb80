// Output of a training run: JSON lines for programs, a progress bar for people.
#pragma once

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace weft {

/// One field of a line. A double that is not finite becomes null.
using LogField = std::pair<std::string_view, std::variant<bool, std::int64_t, double, std::string_view>>;

/// A JSON object on one line, fields in the order given, without the line's end: {"step":1,"loss":4.17}.
std::string json_line(std::initializer_list<LogField> fields);

/// A file of JSON lines. Each is written at once, so that programs may read them while the run goes on.
class JsonLines {
 public:
  /// Appends to the file, or overwrites it. A part of a line that it ends in (the process was killed, the disk was
  /// full) is cut off before anything is appended; a whole line that lacks its end is ended. UserError: the file cannot
  /// be opened, or its last line is not of JSON.
  JsonLines(const std::string& path, bool append);
  /// UserError: it cannot be written (disk full). No part of the line stays, and the next one may be tried.
  void write(std::string_view line);

 private:
  std::string name_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

/// Flushes what a program printed, for its end: a stream alone keeps silent about a full disk. UserError: not all of it
/// could be written, now or before. `name` stands for the stream in the message.
void expect_printed(std::FILE* stream, std::string_view name = "standard output");

/// One line that is redrawn in place if `stream` is a terminal; otherwise nothing is drawn:
///   [=======>             ]  700/2000  loss 1.9832  41.2k tokens/s  0:35 left
class ProgressBar {
 public:
  ProgressBar(std::FILE* stream, std::int64_t total);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `note` stands at the end: "3 skipped, loss scale 64".
  void draw(std::int64_t done, double loss, double tokens_per_s, double seconds_left, std::string_view note = "");
  /// Takes the line away, so that something else can be printed.
  void clear();
  bool visible() const { return visible_; }

 private:
  std::FILE* stream_;
  std::int64_t total_;
  bool visible_;
  bool drawn_ = false;
};

/// The line of a ProgressBar without the terminal's control characters.
std::string progress_line(std::int64_t done, std::int64_t total, double loss, double tokens_per_s, double seconds_left,
                          std::string_view note = "");

}  // namespace weft
