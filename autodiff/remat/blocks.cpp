#include <weft/autodiff/remat/blocks.h>

#include <algorithm>

namespace weft::remat {
namespace {

// Values on the path from inputs to the loss, as a graph of their own: vertices are stored values in order of
// computing. Very small ones (statistics, terms that are summed over the batch) are left out: they can always be kept.
class Paths {
 public:
  explicit Paths(const RematGraph& graph) : graph_(graph), vertex_(graph.stored.size(), nothing) {
    std::vector<std::size_t> sizes;
    for (const Stored& value : graph.stored)
      if (value.on_path) sizes.push_back(value.bytes);
    if (sizes.empty()) return;
    std::ranges::nth_element(sizes, sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2));
    const std::size_t small = sizes[sizes.size() / 2] / 64;
    for (int s = 0; s < graph.size(); ++s)
      if (graph.at(s).on_path && graph.at(s).bytes > small) {
        vertex_[static_cast<std::size_t>(s)] = size();
        stored.push_back(s);
      }
    into.resize(stored.size());
    out.resize(stored.size());
    for (int v = 0; v < size(); ++v)
      for (int read : graph.op(graph.at(stored[static_cast<std::size_t>(v)]).op).reads)
        if (const int u = vertex_[static_cast<std::size_t>(read)]; u != nothing) {
          into[static_cast<std::size_t>(v)].push_back(u);
          out[static_cast<std::size_t>(u)].push_back(v);
        }
    removed.resize(stored.size(), false);
  }

  int size() const { return static_cast<int>(stored.size()); }

  // The vertices through which every path to `targets` goes, in order. (Dominators by one pass in topological order:
  // Cooper, Harvey & Kennedy 2001, "A simple, fast dominance algorithm".)
  std::vector<int> dominators(const std::vector<int>& targets) const {
    constexpr int root = -1, unreached = -2;
    std::vector<int> above(stored.size(), unreached), depth(stored.size(), 0);
    auto depth_of = [&](int v) { return v == root ? 0 : depth[static_cast<std::size_t>(v)]; };
    auto meet = [&](int a, int b) {
      while (a != b)
        (depth_of(a) > depth_of(b) ? a : b) = above[static_cast<std::size_t>(depth_of(a) > depth_of(b) ? a : b)];
      return a;
    };
    for (int v = 0; v < size(); ++v) {
      const auto at = static_cast<std::size_t>(v);
      if (removed[at]) continue;
      int idom = into[at].empty() ? root : unreached;
      for (int u : into[at]) {
        if (removed[static_cast<std::size_t>(u)] || above[static_cast<std::size_t>(u)] == unreached) continue;
        idom = idom == unreached ? u : meet(idom, u);
      }
      above[at] = idom;
      if (idom != unreached) depth[at] = depth_of(idom) + 1;
    }
    int common = unreached;
    for (int target : targets)
      if (above[static_cast<std::size_t>(target)] != unreached)
        common = common == unreached ? target : meet(common, target);
    std::vector<int> chain;
    for (int v = common; v >= 0; v = above[static_cast<std::size_t>(v)]) chain.push_back(v);
    std::ranges::reverse(chain);
    return chain;
  }

  // Where the paths end: what no other vertex is made from.
  std::vector<int> ends() const {
    std::vector<int> found;
    for (int v = 0; v < size(); ++v)
      if (out[static_cast<std::size_t>(v)].empty()) found.push_back(v);
    return found;
  }

  std::vector<int> stored;
  std::vector<std::vector<int>> into, out;
  std::vector<bool> removed;

 private:
  const RematGraph& graph_;
  std::vector<int> vertex_;
};

// Ops from which a stored value is made, its own included.
std::vector<bool> makers(const RematGraph& graph, const std::vector<int>& values) {
  std::vector<bool> made(graph.ops.size(), false);
  for (int value : values) made[static_cast<std::size_t>(graph.at(value).op)] = true;
  for (std::size_t i = graph.ops.size(); i-- > 0;)
    if (made[i])
      for (int read : graph.ops[i].reads) made[static_cast<std::size_t>(graph.at(read).op)] = true;
  return made;
}

// The first articulation after each expensive op; without the last ones, after which there is none.
std::vector<int> boundaries(const RematGraph& graph, const std::vector<int>& chain, const std::vector<bool>& whole) {
  std::vector<bool> before(graph.ops.size(), false);
  std::vector<int> found;
  auto expensive_between = [&](const std::vector<bool>& from, const std::vector<bool>& to) {
    for (std::size_t i = 0; i < to.size(); ++i)
      if (to[i] && !from[i] && graph.ops[i].expensive && graph.ops[i].recomputable) return true;
    return false;
  };
  for (int cut : chain) {
    std::vector<bool> here = makers(graph, {cut});
    if (!expensive_between(before, here)) continue;
    if (!expensive_between(here, whole)) break;
    found.push_back(cut);
    before = std::move(here);
  }
  return found;
}

}  // namespace

Blocks find_blocks(const RematGraph& graph) {
  Paths paths(graph);
  Blocks blocks;
  if (paths.size() == 0) return blocks;
  std::vector<std::vector<int>> targets{paths.ends()};
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (i > 0) paths.removed[static_cast<std::size_t>(targets[i].front())] = false;
    std::vector<int> chain = paths.dominators(targets[i]);
    for (;;) {  // what many blocks read is set aside while that cuts the rest further
      int best = nothing;
      std::size_t most = 0;
      std::vector<int> found;
      for (int v = 0; v < paths.size(); ++v) {
        const auto at = static_cast<std::size_t>(v);
        if (paths.removed[at] || paths.out[at].size() < 3 || std::ranges::find(chain, v) != chain.end()) continue;
        const std::size_t own = paths.dominators({v}).size();
        paths.removed[at] = true;
        std::vector<int> trial = paths.dominators(targets[i]);
        paths.removed[at] = false;
        // What stands before an encoder's output cuts the rest as well, but has a shorter chain of its own.
        if (trial.size() < chain.size() + 2 || trial.size() + own < most) continue;
        best = v;
        most = trial.size() + own;
        found = std::move(trial);
      }
      if (best == nothing) break;
      paths.removed[static_cast<std::size_t>(best)] = true;
      chain = std::move(found);
      targets.push_back({best});
      blocks.aside.push_back(paths.stored[static_cast<std::size_t>(best)]);
    }
    for (int& v : chain) v = paths.stored[static_cast<std::size_t>(v)];
    blocks.cuts.insert(blocks.cuts.end(), chain.begin(), chain.end());
    const std::vector<bool> whole = i == 0 ? makers(graph, graph.loss_terms) : makers(graph, {blocks.aside[i - 1]});
    blocks.chains.push_back(boundaries(graph, chain, whole));
    if (i > 0) paths.removed[static_cast<std::size_t>(targets[i].front())] = true;
  }
  blocks.cuts.insert(blocks.cuts.end(), blocks.aside.begin(), blocks.aside.end());
  std::ranges::sort(blocks.cuts);
  blocks.cuts.erase(std::unique(blocks.cuts.begin(), blocks.cuts.end()), blocks.cuts.end());
  return blocks;
}

std::vector<int> Blocks::every(int k) const {
  std::vector<int> chosen = aside;
  for (const std::vector<int>& chain : chains)
    for (std::size_t i = static_cast<std::size_t>(k); i <= chain.size(); i += static_cast<std::size_t>(k))
      chosen.push_back(chain[i - 1]);
  std::ranges::sort(chosen);
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  return chosen;
}

int Blocks::longest() const {
  std::size_t most = 0;
  for (const std::vector<int>& chain : chains) most = std::max(most, chain.size());
  return static_cast<int>(most);
}

std::vector<int> tail(const RematGraph& graph, const std::vector<int>& boundaries) {
  std::vector<int> kept;
  if (boundaries.empty()) return kept;
  const std::vector<bool> before = makers(graph, boundaries);
  for (int s = 0; s < graph.size(); ++s)
    if (graph.at(s).choice && !before[static_cast<std::size_t>(graph.at(s).op)]) kept.push_back(s);
  return kept;
}

}  // namespace weft::remat
