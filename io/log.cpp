#include <weft/graph/error.h>
#include <weft/io/log.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include <unistd.h>

namespace weft {

std::string json_line(std::initializer_list<LogField> fields) {
  nlohmann::ordered_json line = nlohmann::ordered_json::object();
  for (const auto& [name, value] : fields)
    std::visit([&, &key = name](const auto& v) { line[std::string(key)] = v; }, value);
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

JsonLines::JsonLines(const std::string& path, bool append)
    : name_(path), file_(std::fopen(path.c_str(), append ? "a" : "w"), &std::fclose) {
  WEFT_CHECK(file_ != nullptr, "the log '{}' cannot be opened: {}", name_, std::strerror(errno));
}

void JsonLines::write(std::string_view line) {
  const bool written = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size() &&
                       std::fputc('\n', file_.get()) != EOF && std::fflush(file_.get()) == 0;
  WEFT_CHECK(written, "the log '{}' cannot be written: {}", name_, std::strerror(errno));
}

std::string progress_line(std::int64_t done, std::int64_t total, double loss, double tokens_per_s,
                          double seconds_left) {
  constexpr std::int64_t width = 24;
  const std::int64_t full = total > 0 ? std::clamp<std::int64_t>(done * width / total, 0, width) : width;
  std::string bar(static_cast<std::size_t>(full), '=');
  if (full < width) bar += '>';
  bar.resize(width, ' ');
  const std::string rate =
      tokens_per_s < 1000 ? fmt::format("{:.0f}", tokens_per_s) : fmt::format("{:.1f}k", tokens_per_s / 1000);
  const auto left = static_cast<std::int64_t>(std::isfinite(seconds_left) ? std::ceil(std::max(0.0, seconds_left)) : 0);
  const std::string time = left < 3600 ? fmt::format("{}:{:02}", left / 60, left % 60)
                                       : fmt::format("{}:{:02}:{:02}", left / 3600, left / 60 % 60, left % 60);
  return fmt::format("[{}] {:>{}}/{}  loss {:.4f}  {} tokens/s  {} left", bar, done, fmt::formatted_size("{}", total),
                     total, loss, rate, time);
}

ProgressBar::ProgressBar(std::FILE* stream, std::int64_t total)
    : stream_(stream), total_(total), visible_(::isatty(::fileno(stream)) == 1) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::draw(std::int64_t done, double loss, double tokens_per_s, double seconds_left) {
  if (!visible_) return;
  const std::string line = "\r\x1b[K" + progress_line(done, total_, loss, tokens_per_s, seconds_left);
  std::fwrite(line.data(), 1, line.size(), stream_);
  std::fflush(stream_);
  drawn_ = true;
}

void ProgressBar::clear() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stream_);
  std::fflush(stream_);
  drawn_ = false;
}

}  // namespace weft
