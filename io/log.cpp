#include <weft/graph/error.h>
#include <weft/io/log.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

namespace weft {

std::string json_line(std::initializer_list<LogField> fields) {
  nlohmann::ordered_json line = nlohmann::ordered_json::object();
  for (const auto& [name, value] : fields)
    std::visit([&, &key = name](const auto& v) { line[std::string(key)] = v; }, value);
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

namespace {

// What follows the last end of a line.
std::string unfinished_line(const std::string& path, std::uint64_t size) {
  std::ifstream in(path, std::ios::binary);
  for (std::uint64_t length = 4096;; length *= 2) {
    length = std::min(length, size);
    std::string tail(length, '\0');
    in.seekg(static_cast<std::streamoff>(size - length));
    in.read(tail.data(), static_cast<std::streamsize>(length));
    WEFT_CHECK(in.good(), "the log '{}' cannot be read, to see whether its last line is whole", path);
    const std::size_t end = tail.rfind('\n');
    if (end != std::string::npos) return tail.substr(end + 1);
    if (length == size) return tail;
  }
}

// A process that was killed, or a disk that was full, may have left a part of a line, and no program could read the
// line that is appended to it. What is no part of a line of JSON was not written here, and is not for us to cut.
void mend_last_line(const std::string& path, std::FILE* file) {
  struct stat now{};
  if (::fstat(::fileno(file), &now) != 0 || !S_ISREG(now.st_mode) || now.st_size == 0) return;
  const std::string line = unfinished_line(path, static_cast<std::uint64_t>(now.st_size));
  if (line.empty()) return;
  if (nlohmann::json::accept(line)) {
    WEFT_CHECK(::write(::fileno(file), "\n", 1) == 1, "the log '{}' cannot be written: {}", path, std::strerror(errno));
    return;
  }
  const bool torn = line.front() == '{' || line.front() == '\0';  // zeros: the machine went down
  WEFT_CHECK(torn, "the log '{}' ends in a line that is not JSON; hint: another name for the log", path);
  WEFT_CHECK(::ftruncate(::fileno(file), now.st_size - static_cast<off_t>(line.size())) == 0,
             "the log '{}' cannot be written: the part of a line that it ends in cannot be cut off: {}", path,
             std::strerror(errno));
}

}  // namespace

JsonLines::JsonLines(const std::string& path, bool append)
    : name_(path), file_(std::fopen(path.c_str(), append ? "ae" : "we"), &std::fclose) {
  WEFT_CHECK(file_ != nullptr, "the log '{}' cannot be opened: {}", name_, std::strerror(errno));
  if (append) mend_last_line(name_, file_.get());
}

void JsonLines::write(std::string_view line) {
  const int file = ::fileno(file_.get());
  const std::string whole = std::string(line) + '\n';
  std::size_t done = 0;
  while (done < whole.size()) {  // once, unless the disk fills up
    const ssize_t n = ::write(file, whole.data() + done, whole.size() - done);
    if (n > 0) done += static_cast<std::size_t>(n);
    if (n >= 0 || errno == EINTR) continue;
    const int error = errno;
    // Whole lines only: what follows, once there is room again, begins a line. A pipe keeps what it got.
    [[maybe_unused]] const bool whole_lines =
        done == 0 || ::ftruncate(file, ::lseek(file, -static_cast<off_t>(done), SEEK_CUR)) == 0;
    WEFT_FAIL("the log '{}' cannot be written: {}", name_, std::strerror(error));
  }
}

void expect_printed(std::FILE* stream, std::string_view name) {
  errno = 0;
  const bool printed = std::fflush(stream) == 0 && std::ferror(stream) == 0;
  WEFT_CHECK(printed, "{} cannot be written{}", name, errno == 0 ? "" : fmt::format(": {}", std::strerror(errno)));
}

std::string progress_line(std::int64_t done, std::int64_t total, double loss, double tokens_per_s, double seconds_left,
                          std::string_view note) {
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
  return fmt::format("[{}] {:>{}}/{}  loss {:.4f}  {} tokens/s  {} left{}{}", bar, done,
                     fmt::formatted_size("{}", total), total, loss, rate, time, note.empty() ? "" : "  ", note);
}

ProgressBar::ProgressBar(std::FILE* stream, std::int64_t total)
    : stream_(stream), total_(total), visible_(::isatty(::fileno(stream)) == 1) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::draw(std::int64_t done, double loss, double tokens_per_s, double seconds_left,
                       std::string_view note) {
  if (!visible_) return;
  const std::string line = "\r\x1b[K" + progress_line(done, total_, loss, tokens_per_s, seconds_left, note);
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
