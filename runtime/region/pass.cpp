#include <weft/runtime/region/pass.h>

#include <weft/graph/rewrite.h>
#include <weft/runtime/memory/phases.h>
#include <weft/runtime/region/region.h>
#include <weft/runtime/region/shape.h>

#include <algorithm>
#include <limits>
#include <queue>
#include <set>

namespace weft {
namespace {

constexpr std::size_t most_operands = 16;  // of a member
constexpr int kept = std::numeric_limits<int>::max();

// Nodes that run as one; by position in build order. At first each node is one.
struct Group {
  std::vector<int> members;  // sorted
  std::int64_t rows = 1, width = 1;
  std::size_t values = 0;
  bool random = false, flat = false;  // has such members, such outputs
  int last() const { return members.back(); }
};

class Regions {
 public:
  explicit Regions(const Step& step)
      : step_(step), graph_(step.graph), position_(graph_.next_id(), -1), last_read_(graph_.next_id()) {
    const auto ids = graph_.ids();
    const auto phase = phases(step);
    heavy_.push_back(0);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Node& node = graph_.node(ids[i]);
      const int at = static_cast<int>(i);
      position_[node.id] = at;
      nodes_.push_back(&node);
      phase_.push_back(node.op->traits.source ? Phase::before : phase.at(node.id));
      readers_.emplace_back();
      last_read_[node.id].assign(node.types.size(), -1);
      for (ValueRef ref : node.operands) {
        if (ref.node == no_node) continue;
        readers_[static_cast<std::size_t>(position_[ref.node])].push_back(at);
        if (!node.op->traits.view) note_read(ref, at);
      }
      shapes_.push_back(shape_of(node));
      const bool light = shapes_.back().has_value() || node.op->traits.source || node.op->traits.view;
      heavy_.push_back(heavy_.back() + (light ? 0 : 1));
      group_.push_back(at);
      groups_.push_back(group_of(node, at));
    }
    for (const Value& root : step.roots()) {
      roots_.insert(root.ref());
      note_read(root.ref(), kept);
    }
  }

  Step run() {
    bool any = false;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (!shapes_[i]) continue;
      for (ValueRef ref : nodes_[i]->operands)
        if (ref.node != no_node) any |= join(group_[at(ref)], group_[i]);
    }
    return any ? rebuilt() : step_;
  }

 private:
  std::size_t at(ValueRef ref) const { return static_cast<std::size_t>(position_[ref.node]); }
  const Group& group(int g) const { return groups_[static_cast<std::size_t>(g)]; }
  const Node& node(int i) const { return *nodes_[static_cast<std::size_t>(i)]; }
  bool inside(int i, int p, int q) const {
    return group_[static_cast<std::size_t>(i)] == p || group_[static_cast<std::size_t>(i)] == q;
  }

  ValueRef base_of(ValueRef ref) const {
    while (graph_.node(ref.node).op->traits.view && ref.output == 0) ref = graph_.node(ref.node).operands.front();
    return ref;
  }
  void note_read(ValueRef ref, int reader) {
    ref = base_of(ref);
    int& last = last_read_[ref.node][ref.output];
    last = std::max(last, reader);
  }

  std::optional<RowShape> shape_of(const Node& node) const {
    if (node.operands.empty() || node.operands.size() > most_operands || node.types.size() > most_operands)
      return std::nullopt;
    return row_shape(graph_.view(node)->view);
  }

  Group group_of(const Node& node, int at) const {
    const std::optional<RowShape>& shape = shapes_[static_cast<std::size_t>(at)];
    if (!shape) return {.members = {at}};
    return {.members = {at},
            .rows = shape->rows,
            .width = shape->width,
            .values = node.operands.size() + node.types.size(),
            .random = node.op->traits.random,
            .flat = std::ranges::any_of(shape->out, &RowPart::flat)};
  }

  // Group p's members join q, which reads it.
  bool join(int p, int q) {
    if (p == q || !alike(p, q) || !parts_agree(p, q) || lives_longer(p, q) || leaves(p, q)) return false;
    Group &from = groups_[static_cast<std::size_t>(p)], &to = groups_[static_cast<std::size_t>(q)];
    for (int member : from.members) group_[static_cast<std::size_t>(member)] = q;
    const auto middle = static_cast<std::ptrdiff_t>(to.members.size());
    to.members.insert(to.members.end(), from.members.begin(), from.members.end());
    std::inplace_merge(to.members.begin(), to.members.begin() + middle, to.members.end());
    to.width = std::max(to.width, from.width);
    to.values += from.values;
    to.random |= from.random;
    to.flat |= from.flat;
    from = {};
    return true;
  }

  bool alike(int p, int q) const {
    const Group &a = group(p), &b = group(q);
    const auto first = static_cast<std::size_t>(a.members.front()),
               second = static_cast<std::size_t>(b.members.front());
    return shapes_[first] && shapes_[second] && a.rows == b.rows &&
           (a.width == b.width || a.width == 1 || b.width == 1) && std::max(a.width, b.width) * a.rows > 1 &&
           nodes_[first]->phase == nodes_[second]->phase && phase_[first] == phase_[second] &&
           a.members.size() + b.members.size() <= RowRegion::most_members &&
           a.values + b.values <= RowRegion::most_values &&
           // by the shape of its output a random node's rows are counted
           !((a.random || b.random) && (a.flat || b.flat));
  }

  // What q reads of p it reads by the same rows.
  bool parts_agree(int p, int q) const {
    for (int member : group(q).members)
      for (std::size_t i = 0; i < node(member).operands.size(); ++i) {
        const ValueRef ref = node(member).operands[i];
        if (ref.node == no_node || group_[at(ref)] != p) continue;
        const RowPart &out = shapes_[at(ref)]->out[ref.output], &in = shapes_[static_cast<std::size_t>(member)]->in[i];
        if (in.cut != RowPart::Cut::rows || in.width != out.width) return false;
      }
    return true;
  }

  // p would run when q does. If dear nodes run between them, what p reads lives on till then and what it makes does
  // not: that must not take more bytes, and nobody may wait for p meanwhile.
  bool lives_longer(int p, int q) const {
    const int end = group(q).last();
    if (heavy_[static_cast<std::size_t>(end)] == heavy_[static_cast<std::size_t>(group(p).last()) + 1]) return false;
    std::set<ValueRef> read;
    std::size_t made = 0, held = 0;
    for (int member : group(p).members) {
      for (int reader : readers_[static_cast<std::size_t>(member)])
        if (reader < end && !inside(reader, p, q)) return true;
      for (std::uint32_t k = 0; k < node(member).types.size(); ++k) {
        const int last = last_read_[node(member).id][k];
        if (last == kept || (last >= 0 && !inside(last, p, p))) made += node(member).types[k].bytes();
      }
      for (ValueRef ref : node(member).operands)
        if (ref.node != no_node && group_[at(ref)] != p) read.insert(base_of(ref));
    }
    for (ValueRef ref : read)
      if (!graph_.node(ref.node).op->traits.source && last_read_[ref.node][ref.output] < end)
        held += graph_.type(ref).bytes();
    return held > made;
  }

  // Whether a path from one to the other goes through a node that is in neither.
  bool leaves(int p, int q) const {
    const int first = std::min(group(p).members.front(), group(q).members.front());
    std::set<int> seen;
    std::vector<int> open;
    const auto read = [&](int member, bool from_inside) {
      for (ValueRef ref : node(member).operands) {
        if (ref.node == no_node) continue;
        const int g = group_[at(ref)];
        if (g == p || g == q) {
          if (!from_inside) return true;
        } else if (group(g).last() > first && seen.insert(g).second) {
          open.push_back(g);
        }
      }
      return false;
    };
    for (int g : {p, q})
      for (int member : group(g).members) read(member, true);
    while (!open.empty()) {
      const int g = open.back();
      open.pop_back();
      for (int member : group(g).members)
        if (read(member, false)) return true;
    }
    return false;
  }

  bool read_outside(ValueRef ref, int g) const {
    if (roots_.contains(ref)) return true;
    return std::ranges::any_of(readers_[at(ref)], [&](int reader) {
      return group_[static_cast<std::size_t>(reader)] != g && std::ranges::count(node(reader).operands, ref) > 0;
    });
  }

  // Groups in an order in which each follows what it reads; near to build order.
  std::vector<int> order() const {
    std::vector<int> waits(groups_.size(), 0), sorted;
    std::vector<std::set<int>> after(groups_.size());
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      for (ValueRef ref : nodes_[i]->operands) {
        if (ref.node == no_node || group_[at(ref)] == group_[i]) continue;
        if (after[static_cast<std::size_t>(group_[at(ref)])].insert(group_[i]).second)
          ++waits[static_cast<std::size_t>(group_[i])];
      }
    using Next = std::pair<int, int>;  // (last member, group)
    std::priority_queue<Next, std::vector<Next>, std::greater<>> ready;
    const auto offer = [&](int g) {
      if (!group(g).members.empty()) ready.emplace(group(g).last(), g);
    };
    for (std::size_t g = 0; g < groups_.size(); ++g)
      if (waits[g] == 0) offer(static_cast<int>(g));
    while (!ready.empty()) {
      const int g = ready.top().second;
      ready.pop();
      sorted.push_back(g);
      for (int next : after[static_cast<std::size_t>(g)])
        if (--waits[static_cast<std::size_t>(next)] == 0) offer(next);
    }
    return sorted;
  }

  Step rebuilt() const {
    Rebuild rebuild(graph_, "row_regions");
    std::size_t placed = 0;
    for (int g : order()) {
      placed += group(g).members.size();
      if (group(g).members.size() == 1) rebuild.keep(node(group(g).last()));
      else build(rebuild, g);
    }
    WEFT_INVARIANT(placed == nodes_.size(), "row_regions closed a circle around {} nodes", nodes_.size() - placed);
    return step_.over(rebuild.finish());
  }

  void build(Rebuild& rebuild, int g) const {
    auto region = std::make_shared<RowRegion>();
    std::vector<ValueRef> operands;
    std::unordered_map<ValueRef, int> value;  // of the region
    for (int member : group(g).members)
      for (ValueRef ref : node(member).operands)
        if (ref.node != no_node && group_[at(ref)] != g &&
            value.try_emplace(ref, static_cast<int>(operands.size())).second)
          operands.push_back(ref);
    region->operands = static_cast<int>(operands.size());
    int next = region->operands;
    Attributes attributes;
    std::vector<ValueRef> given;  // to readers outside
    for (int i : group(g).members) {
      const Node& of = node(i);
      RowRegion::Member member{of.op, of.attributes, {}, static_cast<int>(of.types.size()), of.name, of.where};
      for (ValueRef ref : of.operands)
        member.operands.push_back(ref.node == no_node ? RowRegion::absent : value.at(ref));
      for (std::uint32_t k = 0; k < of.types.size(); ++k) {
        value[{of.id, k}] = next++;
        if (read_outside({of.id, k}, g)) given.push_back({of.id, k});
      }
      if (of.op->traits.random && of.attributes.has("stream"))
        attributes.set("stream", of.attributes.integer("stream"));
      region->members.push_back(std::move(member));
    }
    for (ValueRef ref : given) region->outputs.push_back(value.at(ref));
    attributes.set("members", std::shared_ptr<const Description>(std::move(region)));

    const Node& last = node(group(g).last());
    const Scope scope = rebuild.in_place_of(last);
    Values in;
    for (ValueRef ref : operands) in.push_back(rebuild.map(ref));
    const Values out = rebuild.to().apply(row_region_op(), in, attributes, last.where);
    for (int i : group(g).members) {
      std::vector<Value> values(node(i).types.size());
      for (std::size_t k = 0; k < given.size(); ++k)
        if (given[k].node == node(i).id) values[given[k].output] = out[k];
      rebuild.replace(node(i), values);
    }
  }

  const Step& step_;
  const Graph& graph_;
  std::vector<int> position_;                // by id
  std::vector<std::vector<int>> last_read_;  // by id, by output: of a value through its views; kept: a root
  std::vector<const Node*> nodes_;           // by position, as are the next five
  std::vector<Phase> phase_;
  std::vector<std::vector<int>> readers_;
  std::vector<std::optional<RowShape>> shapes_;
  std::vector<int> group_;
  std::vector<Group> groups_;
  std::vector<int> heavy_;  // how many dear nodes come before a position
  std::set<ValueRef> roots_;
};

}  // namespace

Step row_regions(const Step& step) { return Regions(step).run(); }

}  // namespace weft
