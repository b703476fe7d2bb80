// A least-recently-used cache of bounded size. Private to runtime/.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <utility>

namespace weft {

template <class Key, class Value>
class BoundedCache {
 public:
  explicit BoundedCache(std::size_t most) : most_(most) {}

  /// The value of `key`, made by make() if it is not in the cache. Valid until the next call.
  template <class Make>
  Value& get(const Key& key, Make&& make) {
    if (const auto at = found_.find(key); at != found_.end()) {
      recent_.splice(recent_.begin(), recent_, at->second);
      return at->second->second;
    }
    recent_.emplace_front(key, make());
    found_.emplace(key, recent_.begin());
    if (found_.size() > most_) {
      found_.erase(recent_.back().first);
      recent_.pop_back();
    }
    return recent_.front().second;
  }
  std::size_t size() const { return found_.size(); }

 private:
  using Entries = std::list<std::pair<Key, Value>>;

  std::size_t most_;
  Entries recent_;  // the last asked for first
  std::map<Key, typename Entries::iterator> found_;
};

}  // namespace weft
