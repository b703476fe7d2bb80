// An executable step: a plan bound to kernels and to a Store. A run allocates nothing.
#pragma once

#include <weft/runtime/memory/plan.h>
#include <weft/runtime/profile.h>
#include <weft/runtime/store.h>
#include <weft/runtime/tensor.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// The tensor for an input, by the input's name. Names and tensors must outlive the call of run(); no copy is made.
struct Feed {
  std::string_view name;
  const Tensor* tensor;
  Feed(std::string_view input, const Tensor& value) : name(input), tensor(&value) {}
};

class Result;

class Program {
 public:
  /// Plans and binds. States of the step that the store lacks (moments of an optimizer) are added to it. The program
  /// keeps the store's cells. UserError: the machine does not have the memory.
  Program(const Step& step, Store& store, const PlanOptions& options = {});
  Program(Plan plan, Store& store);
  ~Program();
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;

  /// One run. UserError if a feed is missing, unknown, given twice, or of another type, or if an op refuses a value;
  /// then nothing in the store has changed. Also if this program is running already, or another over the same store of
  /// which one trains or draws random numbers (docs/threads.md).
  Result run(std::initializer_list<Feed> feeds);
  Result run(std::span<const Feed> feeds = {});

  /// Runs as run() does, options.runs times, and measures each node. UserError as run(), or for runs < 1.
  Profile profile(std::span<const Feed> feeds, const ProfileOptions& options = {});
  Profile profile(std::initializer_list<Feed> feeds, const ProfileOptions& options = {}) {
    return profile(std::span<const Feed>(feeds.begin(), feeds.size()), options);
  }

  const Plan& plan() const;
  /// The handle of the program: it shares the cells of the Store that the program was made with.
  Store& store() const;
  /// Bytes that the program itself has allocated: arena and constants, exactly what the plan says.
  std::size_t allocated_bytes() const;

 private:
  friend class Result;
  struct Impl;
  Impl& impl() const;
  std::shared_ptr<Impl> impl_;  ///< null after a move
};

/// The results of the last run: views, valid until the program's next run; they keep its memory.
class Result {
 public:
  /// A fetch of one element ("loss", "grad_norm", ...) as a double. UserError lists the fetches there are.
  double scalar(std::string_view name) const;
  double scalar(const Value& value) const;
  Tensor tensor(std::string_view name) const;
  /// A fetched value, by its handle.
  Tensor tensor(const Value& value) const;
  bool has(std::string_view name) const;

 private:
  friend class Program;
  explicit Result(std::shared_ptr<Program::Impl> program);
  const Step& step() const;
  std::shared_ptr<Program::Impl> program_;  ///< null after a move
};

inline Result Program::run(std::initializer_list<Feed> feeds) {
  return run(std::span<const Feed>(feeds.begin(), feeds.size()));
}

/// Computes `value` once, in one line, for tests: parameters are initialised from `seed`. The graph stays as it is.
Tensor evaluate(const Value& value, std::span<const Feed> feeds, std::uint64_t seed = 0);
inline Tensor evaluate(const Value& value, std::initializer_list<Feed> feeds = {}, std::uint64_t seed = 0) {
  return evaluate(value, std::span<const Feed>(feeds.begin(), feeds.size()), seed);
}
/// Several values of one graph by one run.
std::vector<Tensor> evaluate(const std::vector<Value>& values, std::span<const Feed> feeds, std::uint64_t seed = 0);
/// A Step that only fetches: names are the values' paths.
Step fetching(const std::vector<Value>& values);

}  // namespace weft
