#include <weft/inspect/op/hand_run.h>

#include <weft/graph/user_rule.h>
#include <weft/runtime/lower.h>
#include <weft/runtime/parallel.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>

#include <sys/wait.h>
#include <unistd.h>

namespace weft {
namespace {

constexpr std::size_t alignment = 64;

class Guarded {
 public:
  Guarded(std::size_t bytes, std::byte pattern, std::size_t guard)
      : pattern_(pattern), bytes_(bytes), all_(bytes + 2 * guard + alignment, pattern) {
    const auto at = reinterpret_cast<std::uintptr_t>(all_.data() + guard);
    front_ = guard + (alignment - at % alignment) % alignment;
  }

  std::byte* data() { return all_.data() + front_; }
  std::size_t size() const { return bytes_; }

  /// "writes 4 bytes behind WHAT"; "" if the guards are whole.
  std::string fault(const std::string& what) const {
    const auto changed = [&](std::byte byte) { return byte != pattern_; };
    const auto begin = all_.begin(), data = begin + static_cast<std::ptrdiff_t>(front_),
               end = data + static_cast<std::ptrdiff_t>(bytes_);
    if (std::any_of(end, all_.end(), changed)) {
      const auto last = std::find_if(all_.rbegin(), all_.rend(), changed).base();
      return fmt::format("writes {} bytes behind {}, which has {}", last - end, what, bytes_);
    }
    const auto first = std::find_if(begin, data, changed);
    return first == data ? "" : fmt::format("writes {} bytes before {}", data - first, what);
  }

 private:
  std::byte pattern_;
  std::size_t bytes_, front_ = 0;
  std::vector<std::byte> all_;
};

std::string output_name(const OpView& view, std::size_t k) {
  return k < view.op.outputs.size() ? fmt::format("output '{}'", view.op.outputs[k]) : fmt::format("output {}", k);
}

}  // namespace

HandRun run_by_hand(const OpView& view, std::span<const std::span<const std::byte>> operands, std::byte pattern,
                    std::int64_t row_offset, std::size_t guard) {
  const Kernel* kernel = view.op.kernel(kernel_dtype(view));
  WEFT_INVARIANT(kernel != nullptr, "'{}' has no kernel to run by hand", view.op.name);
  const BoundKernel bound =
      user_rule("its kernel", [&] { return kernel->run != nullptr ? BoundKernel(kernel->run) : kernel->bind(view); });
  WEFT_CHECK(bound, ".bind of the kernel of '{}' gives nothing to run", view.op.name);

  std::deque<Guarded> given, made;
  std::vector<const std::byte*> in;
  for (const auto& bytes : operands) {
    Guarded& buffer = given.emplace_back(bytes.size(), pattern, guard);
    if (!bytes.empty()) std::memcpy(buffer.data(), bytes.data(), bytes.size());
    in.push_back(buffer.data());
  }
  for (std::size_t i = 0; i < in.size(); ++i)
    if (!view.has(static_cast<int>(i))) in[i] = nullptr;
  std::vector<std::byte*> out;
  for (const TensorType& type : view.out) out.push_back(made.emplace_back(type.bytes(), pattern, guard).data());
  const std::size_t asked = kernel->workspace == nullptr ? 0 : user_rule("the workspace of its kernel", [&] {
    return kernel->workspace(view, threads());
  });
  Guarded workspace(asked, pattern, guard);
  const RandomState random{.seed = 0, .runs = 0, .row_offset = row_offset};
  KernelContext context(view, in, out, workspace.data(), random);
  user_rule("its kernel", [&] { bound(context); });

  HandRun run;
  auto look = [&](std::string fault) {
    if (run.fault.empty()) run.fault = std::move(fault);
  };
  for (std::size_t k = 0; k < made.size(); ++k) look(made[k].fault(output_name(view, k)));
  look(workspace.fault("the workspace that it asks for"));
  for (std::size_t i = 0; i < given.size(); ++i) {
    look(given[i].fault(fmt::format("operand {}", i)));
    const bool same = operands[i].empty() || std::memcmp(given[i].data(), operands[i].data(), operands[i].size()) == 0;
    if (!same) look(fmt::format("writes into operand {}", i));
  }
  for (Guarded& each : made) run.outputs.emplace_back(each.data(), each.data() + each.size());
  return run;
}

std::string fault_in_child(const OpView& view, std::span<const std::span<const std::byte>> operands) {
  constexpr std::size_t far = 1 << 20;
  std::array<int, 2> pipe{};
  WEFT_CHECK(::pipe(pipe.data()) == 0, "no pipe to a child process can be made: {}", std::strerror(errno));
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) ::signal(signal, SIG_DFL);
    ::alarm(60);
    std::string fault;
    try {
      fault = run_by_hand(view, operands, std::byte{0xA5}, 0, far).fault;
    } catch (...) {  // the parent meets it as well, and says it
    }
    const bool told = ::write(pipe[1], fault.data(), fault.size()) == static_cast<ssize_t>(fault.size());
    ::_exit(told ? 0 : 1);
  }
  ::close(pipe[1]);
  std::string fault;
  std::array<char, 256> part{};
  for (ssize_t n = 0; child > 0 && (n = ::read(pipe[0], part.data(), part.size())) > 0;)
    fault.append(part.data(), static_cast<std::size_t>(n));
  ::close(pipe[0]);
  WEFT_CHECK(child > 0, "no child process can be made: {}", std::strerror(errno));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return fault;
  return WIFSIGNALED(status)
             ? fmt::format("ends the process ({}): it reads or writes far outside of its buffers", strsignal(WTERMSIG(status)))
             : "ends the process: it reads or writes far outside of its buffers, or calls exit()";
}

}  // namespace weft
