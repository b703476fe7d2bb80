#include <weft/autodiff/facts.h>
#include <weft/autodiff/remat/memory_frontier.h>
#include <weft/autodiff/remat/search.h>
#include <weft/runtime/parallel.h>

#include <algorithm>
#include <limits>
#include <ostream>
#include <utility>

namespace weft {

MemoryFrontier memory_frontier(const Step& step, const FrontierOptions& options) {
  WEFT_CHECK(step.facts.contains(fact::gradients),
             "memory_frontier needs a step with gradients; hint: training_step(loss)");
  WEFT_CHECK(!step.facts.contains(fact::checkpointed), "memory_frontier needs a step that is not checkpointed yet");
  remat::Search search(step, options.threads, options.rates);
  const remat::RematGraph& graph = search.graph();
  std::vector<remat::Score> scores = search.front();
  const remat::Score least = search.polish(scores.front(), 0);
  if (least.bytes < scores.front().bytes) scores.insert(scores.begin(), least);

  MemoryFrontier frontier;
  const remat::Score& whole = search.whole();
  const Plan planned = plan(step, {.threads = options.threads});
  frontier.whole_bytes = planned.total_bytes();
  frontier.whole_seconds = whole.seconds;
  frontier.persistent_bytes = planned.persistent_bytes;
  // Scores are bytes of quick plans; what is reported is what a program takes of the step that checkpoint(budget)
  // gives.
  for (remat::Score& score : scores) {
    Step made = search.result(score.saved);
    made.lowered = false;
    score.bytes = plan(made, {.threads = options.threads}).total_bytes();
  }
  std::ranges::stable_sort(scores, {}, [](const remat::Score& score) { return std::pair(score.bytes, score.seconds); });
  double fastest = std::numeric_limits<double>::infinity();
  std::erase_if(scores, [&](const remat::Score& score) {
    const bool beaten = score.seconds >= fastest;
    fastest = std::min(fastest, score.seconds);
    return beaten;
  });
  frontier.threads = options.threads > 0 ? options.threads : threads();
  for (const remat::Score& score : scores) {
    remat::Clones clones;
    search.apply(score.saved, &clones);
    MemoryFrontier::Point point{score.bytes, score.seconds, score.saved_bytes, score.clones, {}, score.origin};
    for (int s = 0; s < graph.size(); ++s)
      if (clones.used[static_cast<std::size_t>(s)])
        point.saved.push_back(graph.step.graph.value(graph.at(s).owner).name());
    frontier.points.push_back(std::move(point));
  }
  frontier.plans = search.plans();
  return frontier;
}

std::string MemoryFrontier::str() const {
  std::string text = fmt::format(
      "memory frontier: {} points of {} plans, {} threads; as it is {} in {:.3f} s (predicted)\n"
      "  {:>14} {:>10} {:>7} {:>10} {:>8} {:>7} {:>12}  {}\n",
      points.size(), plans, threads, readable_bytes(whole_bytes), whole_seconds, "bytes", "", "of all", "time s",
      "slower", "again", "kept", "how");
  for (const Point& point : points)
    text += fmt::format(
        "  {:>14} {:>10} {:>6.1f}% {:>10.4f} {:>7.1f}% {:>7} {:>12}  {}\n", point.bytes, readable_bytes(point.bytes),
        100.0 * static_cast<double>(point.bytes) / static_cast<double>(whole_bytes), point.seconds,
        100.0 * (point.seconds / whole_seconds - 1), point.recomputed, readable_bytes(point.saved_bytes), point.origin);
  return text;
}

std::ostream& operator<<(std::ostream& out, const MemoryFrontier& frontier) { return out << frontier.str(); }

}  // namespace weft
