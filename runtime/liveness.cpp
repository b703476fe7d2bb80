#include <weft/runtime/liveness.h>

#include <algorithm>

namespace weft {

Liveness::Liveness(const Step& step, const std::vector<NodeId>& nodes) {
  const Graph& graph = step.graph;
  position_.assign(graph.next_id(), -1);
  for (std::size_t i = 0; i < nodes.size(); ++i) position_[nodes[i]] = static_cast<int>(i);
  std::vector<std::vector<int>> base(graph.next_id());  // by id, by output; -1: a source
  const auto segment = segments(step);
  for (const NodeId id : nodes) segment_.push_back(segment.at(id));
  std::vector<Segment> made;  // by base
  reads_.resize(nodes.size());
  writes_.resize(nodes.size());
  for (NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    std::vector<int>& outputs = base[id];
    const int at = position_[id];
    if (at < 0) {
      outputs.assign(node.types.size(), -1);
      continue;
    }
    for (ValueRef ref : node.operands) {
      const int read = ref.node == no_node ? -1 : base[ref.node][ref.output];
      auto& reads = reads_[static_cast<std::size_t>(at)];
      if (read < 0 || std::ranges::find(reads, read) != reads.end()) continue;
      if (this->segment(at) == Segment::micro && made[static_cast<std::size_t>(read)] == Segment::before)
        bases_[static_cast<std::size_t>(read)].held = true;
      reads.push_back(read);
      ++bases_[static_cast<std::size_t>(read)].readers;
      bases_[static_cast<std::size_t>(read)].sum += at;
    }
    for (std::uint32_t k = 0; k < node.types.size(); ++k) {
      if (node.op->traits.view && k == 0) {
        outputs.push_back(base[node.operands.front().node][node.operands.front().output]);
        continue;
      }
      outputs.push_back(static_cast<int>(bases_.size()));
      writes_[static_cast<std::size_t>(at)].push_back(outputs.back());
      const bool gathered = this->segment(at) == Segment::micro && node.op->traits.gathers;
      bases_.push_back({.bytes = node.types[k].bytes(), .held = gathered, .gathered = gathered});
      made.push_back(this->segment(at));
    }
  }
  for (const Value& root : step.roots())
    if (const int kept = base[root.ref().node][root.ref().output]; kept >= 0) bases_[static_cast<std::size_t>(kept)].kept = true;
  reset();
}

void Liveness::reset() {
  left_.clear();
  for (const Base& base : bases_) left_.push_back({base.readers, base.sum});
  live_ = 0;
  inside_ = false;
}

bool Liveness::frees(int base, int at) const {
  const Base& of = bases_[static_cast<std::size_t>(base)];
  return !of.kept && (!of.held || segment(at) == Segment::after);
}

// What micro-batches are gathered into lives from the first of them on; what they all read, until the last is done.
void Liveness::pass(Segment now, std::vector<int>* changed) {
  if (inside_ == (now == Segment::micro)) return;
  inside_ = !inside_;
  for (std::size_t i = 0; i < bases_.size(); ++i) {
    const Base& base = bases_[i];
    if (!base.held) continue;
    if (inside_) {
      if (base.gathered) live_ += base.bytes;
    } else if (!base.kept) {
      if (left_[i].readers == 0) live_ -= base.bytes;
      if (left_[i].readers == 1 && changed != nullptr) changed->push_back(static_cast<int>(left_[i].sum));
    }
  }
}

std::int64_t Liveness::growth(int at) const {
  std::int64_t change = 0;
  for (int write : writes_[static_cast<std::size_t>(at)])
    if (const Base& base = bases_[static_cast<std::size_t>(write)]; !base.gathered) change += static_cast<std::int64_t>(base.bytes);
  for (int read : reads_[static_cast<std::size_t>(at)]) {
    const auto base = static_cast<std::size_t>(read);
    if (left_[base].readers == 1 && frees(read, at)) change -= static_cast<std::int64_t>(bases_[base].bytes);
  }
  return change;
}

std::size_t Liveness::run(int at, std::vector<int>* changed) {
  pass(segment(at), changed);
  for (int write : writes_[static_cast<std::size_t>(at)])
    if (const Base& base = bases_[static_cast<std::size_t>(write)]; !base.gathered) live_ += base.bytes;
  const std::size_t peak = live_;
  for (int read : reads_[static_cast<std::size_t>(at)]) {
    const auto base = static_cast<std::size_t>(read);
    Left& left = left_[base];
    left.sum -= at;
    --left.readers;
    if (!frees(read, at)) continue;
    if (left.readers == 0) live_ -= bases_[base].bytes;
    if (left.readers == 1 && changed != nullptr) changed->push_back(static_cast<int>(left.sum));
  }
  for (int write : writes_[static_cast<std::size_t>(at)]) {  // outputs that nobody reads
    const Base& base = bases_[static_cast<std::size_t>(write)];
    if (base.readers == 0 && !base.kept && !base.held) live_ -= base.bytes;
  }
  return peak;
}

}  // namespace weft
