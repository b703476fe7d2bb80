#include <weft/runtime/memory/liveness.h>

#include <algorithm>

namespace weft {

Liveness::Liveness(const Step& step, const std::vector<NodeId>& nodes, const Decided& decided) {
  const Graph& graph = step.graph;
  position_.assign(graph.next_id(), -1);
  for (std::size_t i = 0; i < nodes.size(); ++i) position_[nodes[i]] = static_cast<int>(i);
  std::vector<std::vector<int>> base(graph.next_id());  // by id, by output; -1: a source
  reads_.resize(nodes.size());
  writes_.resize(nodes.size());
  reuse_.resize(nodes.size());
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
      reads.push_back(read);
      ++bases_[static_cast<std::size_t>(read)].readers;
      bases_[static_cast<std::size_t>(read)].sum += at;
    }
    for (std::uint32_t k = 0; k < node.types.size(); ++k) {
      if (node.op->traits.view && k == 0) {
        outputs.push_back(base[node.operands.front().node][node.operands.front().output]);
        continue;
      }
      if (decided.in_state.contains({id, k})) {
        outputs.push_back(-1);
        continue;
      }
      outputs.push_back(static_cast<int>(bases_.size()));
      writes_[static_cast<std::size_t>(at)].push_back(outputs.back());
      bases_.push_back({.bytes = aligned(node.types[k].bytes())});
      for (const InPlace& pair : decided.in_place[id]) {
        if (pair.output != static_cast<int>(k)) continue;
        const ValueRef operand = node.operands[static_cast<std::size_t>(pair.operand)];
        const int from = base[operand.node][operand.output];
        if (from >= 0) reuse_[static_cast<std::size_t>(at)].push_back({k, from});
      }
    }
  }
  const auto phase = phases(step);
  for (NodeId id : nodes) {
    phase_.push_back(phase.at(id));
    scratch_.push_back(decided.workspace[id]);
  }
  if (step.micro_batches > 1) {
    std::vector<Phase> maker(bases_.size());
    for (std::size_t i = 0; i < nodes.size(); ++i)
      for (int write : writes_[i]) maker[static_cast<std::size_t>(write)] = phase_[i];
    auto hold = [&](int held) {
      if (std::ranges::find(held_, held) != held_.end()) return;
      held_.push_back(held);
      ++bases_[static_cast<std::size_t>(held)].readers;
      bases_[static_cast<std::size_t>(held)].sum += static_cast<std::int64_t>(nodes.size());  // no node's position
    };
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (phase_[i] != Phase::micro) continue;
      for (int write : writes_[i])
        if (graph.node(nodes[i]).op->traits.gathers) {
          bases_[static_cast<std::size_t>(write)].gathers = true;
          hold(write);
        }
      for (int read : reads_[i])
        if (maker[static_cast<std::size_t>(read)] == Phase::before) hold(read);
    }
  }
  for (const Value& root : step.roots())
    if (const int kept = base[root.ref().node][root.ref().output]; kept >= 0)
      bases_[static_cast<std::size_t>(kept)].kept = true;
  reset();
}

void Liveness::reset() {
  left_.clear();
  for (const Base& base : bases_) left_.push_back({base.readers, base.sum});
  live_ = 0;
  inside_ = false;
}

// What micro-batches are gathered into lives from the first of them on; what they all read, until the last is done.
void Liveness::pass(Phase now, std::vector<int>* changed) {
  if (inside_ == (now == Phase::micro)) return;
  inside_ = !inside_;
  for (int held : held_) {
    const Base& base = bases_[static_cast<std::size_t>(held)];
    Left& left = left_[static_cast<std::size_t>(held)];
    if (inside_) {
      live_ += base.gathers ? base.bytes : 0;
      continue;
    }
    left.sum -= static_cast<std::int64_t>(size());
    --left.readers;
    if (left.readers == 0 && !base.kept) live_ -= base.bytes;
    if (left.readers == 1 && !base.kept && changed != nullptr) changed->push_back(static_cast<int>(left.sum));
  }
}

std::int64_t Liveness::growth(int at) const {
  std::int64_t change = 0;
  for (int write : writes_[static_cast<std::size_t>(at)]) {
    const Base& base = bases_[static_cast<std::size_t>(write)];
    if (!base.gathers) change += static_cast<std::int64_t>(base.bytes);
  }
  for (int read : reads_[static_cast<std::size_t>(at)]) {
    const auto base = static_cast<std::size_t>(read);
    if (left_[base].readers == 1 && !bases_[base].kept) change -= static_cast<std::int64_t>(bases_[base].bytes);
  }
  return change;
}

// Bytes of outputs that overwrite an operand. Each takes the first that dies here, unless another output has.
std::size_t Liveness::reused(int at) const {
  const std::vector<Reuse>& pairs = reuse_[static_cast<std::size_t>(at)];
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < pairs.size();) {
    const std::uint32_t output = pairs[i].output;
    int found = -1;
    for (; i < pairs.size() && pairs[i].output == output; ++i)
      if (const auto base = static_cast<std::size_t>(pairs[i].base);
          found < 0 && left_[base].readers == 1 && !bases_[base].kept)
        found = pairs[i].base;
    if (found < 0) continue;
    bool taken = false;
    for (std::size_t j = 0; j < i && pairs[j].output != output; ++j) taken |= pairs[j].base == found;
    if (!taken) bytes += bases_[static_cast<std::size_t>(found)].bytes;
  }
  return bytes;
}

void Liveness::undo(int at) {
  for (int write : writes(at)) {
    const Base& base = bases_[static_cast<std::size_t>(write)];
    if (base.readers == 0 && !base.kept) live_ += base.bytes;
    if (!base.gathers) live_ -= base.bytes;
  }
  for (int read : reads(at)) {
    const auto base = static_cast<std::size_t>(read);
    if (left_[base].readers == 0 && !bases_[base].kept) live_ += bases_[base].bytes;
    ++left_[base].readers;
    left_[base].sum += at;
  }
}

std::size_t Liveness::run(int at, std::vector<int>* changed) {
  pass(phase(at), changed);
  for (int write : writes_[static_cast<std::size_t>(at)]) {
    const Base& base = bases_[static_cast<std::size_t>(write)];
    if (!base.gathers) live_ += base.bytes;
  }
  const std::size_t peak = live_ + scratch_[static_cast<std::size_t>(at)] - reused(at);
  for (int read : reads_[static_cast<std::size_t>(at)]) {
    const auto base = static_cast<std::size_t>(read);
    Left& left = left_[base];
    left.sum -= at;
    --left.readers;
    if (bases_[base].kept) continue;
    if (left.readers == 0) live_ -= bases_[base].bytes;
    if (left.readers == 1 && changed != nullptr && left.sum < static_cast<std::int64_t>(size()))
      changed->push_back(static_cast<int>(left.sum));
  }
  for (int write : writes_[static_cast<std::size_t>(at)]) {  // outputs that nobody reads
    const Base& base = bases_[static_cast<std::size_t>(write)];
    if (base.readers == 0 && !base.kept) live_ -= base.bytes;
  }
  return peak;
}

}  // namespace weft
