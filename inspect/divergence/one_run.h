// One run of a step that leaves the store as it is. Private to inspect/ and testing/.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/program.h>
#include <weft/runtime/store.h>

#include <span>
#include <string_view>

namespace weft {

/// Runs on a copy of the store. Tensors are views of the run's memory: they live as long as it.
class OneRun {
 public:
  OneRun(const Step& step, const Store& store, std::span<const Feed> feeds)
      : store_(store.clone()), program_(step, store_), result_(program_.run(feeds)) {}
  OneRun(const OneRun&) = delete;
  OneRun& operator=(const OneRun&) = delete;

  bool has(std::string_view fetch) const { return result_.has(fetch); }
  Tensor tensor(std::string_view fetch) const { return result_.tensor(fetch); }
  double scalar(std::string_view fetch) const { return result_.scalar(fetch); }

 private:
  Store store_;
  Program program_;
  Result result_;
};

}  // namespace weft
