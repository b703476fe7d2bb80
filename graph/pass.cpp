#include <weft/graph/pass.h>
#include <weft/graph/verify.h>

#include <chrono>

namespace weft {

std::string PassReport::str() const {
  std::string text;
  for (const Line& line : lines) {
    const std::string what = line.disabled  ? "disabled"
                             : line.changed ? fmt::format("{} -> {} nodes", line.nodes_before, line.nodes_after)
                                            : "unchanged";
    text += fmt::format("{:<28} {:<24} {:>8.2f} ms\n", line.name, what, line.seconds * 1e3);
  }
  return text;
}

Step run_passes(Step step, const std::vector<Pass>& passes, const PassOptions& options, PassReport* report) {
  for (const Pass& pass : passes) {
    if (pass.optional && !options.enabled.contains(pass.name)) continue;
    PassReport::Line line{.name = pass.name, .nodes_before = step.graph.size(), .nodes_after = step.graph.size()};
    line.disabled = options.disabled.contains(pass.name);
    if (!line.disabled) {
      const auto start = std::chrono::steady_clock::now();
      Step after = pass.run(step);
      line.changed = after.graph != step.graph;
      line.nodes_after = after.graph.size();
      step = std::move(after);
      line.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (options.verify && line.changed) try {
          verify(step);
        } catch (const InternalError& error) {
          throw InternalError(fmt::format("after the pass {}: {}", pass.name, error.what()));
        }
    }
    if (report != nullptr) report->lines.push_back(line);
  }
  return step;
}

}  // namespace weft
