#include <weft/inspect/op/op_checker.h>
#include <weft/inspect/op/with_extents.h>

#include <algorithm>
#include <set>

namespace weft {
namespace {

struct Variant {
  std::string name;
  ExtentMap map;
};

// Other sizes: all extents grown by unequal amounts, then each alone grown, 1 and 0.
std::vector<Variant> variants(const Sample& sample, int index) {
  std::set<std::int64_t> extents;
  std::int64_t most = 0;
  for (const SampleInput& input : sample.inputs) {
    std::int64_t count = 1;
    for (const std::int64_t extent : input.extents) {
      count *= extent;
      if (extent > 1) extents.insert(extent);
    }
    most = std::max(most, count);
  }
  if (extents.empty() || most > 4096) return {};
  std::vector<Variant> made;
  ExtentMap all;
  std::int64_t more = index % 3;
  for (const std::int64_t extent : extents) all[extent] = extent + 1 + (more++ * 2) % 5;
  made.push_back({"grown", all});
  for (const auto& [extent, grown] : all) {
    made.push_back({fmt::format("{} as {}", extent, grown), {{extent, grown}}});
    made.push_back({fmt::format("{} as 1", extent), {{extent, 1}}});
    made.push_back({fmt::format("{} as 0", extent), {{extent, 0}}});
  }
  return made;
}

}  // namespace

void OpChecker::check_variants(const Sample& sample) {
  const std::size_t first = check_.lines.size();
  for (const Variant& variant : variants(sample, sample_)) {
    const Sample made = with_extents(sample, variant.map);
    const std::size_t before = check_.lines.size();
    bool refused = true;
    check("shapes", [&] {
      const SampleRun exact = built(made, f64);
      if (!exact.graph().problems().empty()) return;  // the shape rule said no
      try {
        exact.run();
      } catch (const UserError&) {
        return;  // or the kernel: a class that is not there, the largest of nothing
      } catch (const InternalError&) {
        if (op_.traits.refuses.value_or(true)) throw;
        return;  // or another node, which stands before it
      }
      refused = false;
    });
    if (refused) {
      if (check_.lines.back().passed) check_.lines.pop_back();
    } else {
      const SampleRun exact = built(made, f64);
      check_forward(made, f32, exact);
      check_backward(made, f32);
      if (full_) {
        check_forward(made, f64, exact);
        check_backward(made, f64);
        if (exact.has_batch()) check("batch", [&] { check_batch(exact); });
        check("threads", [&] { check_threads(exact); });
      }
    }
    for (std::size_t i = before; i < check_.lines.size(); ++i) check_.lines[i].check += " (" + variant.name + ")";
  }
  check_.variants += static_cast<int>(check_.lines.size() > first);
}

}  // namespace weft
