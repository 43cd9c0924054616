// Threads that split one piece of work: for few dialogues on many cores.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace mime_fast {

class Team {
 public:
  // `size` threads, the caller's being one of them.
  explicit Team(std::size_t size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  std::size_t size() const { return helpers_.size() + 1; }
  // part(i) for i < size(), each on a thread of its own, part(0) on the caller's. It must not throw.
  void run(const std::function<void(std::size_t)>& part);

 private:
  void help(std::size_t index);

  std::vector<std::thread> helpers_;
  const std::function<void(std::size_t)>* part_ = nullptr;
  std::atomic<std::uint64_t> round_{0};
  std::atomic<std::size_t> working_{0};
  std::atomic<bool> over_{false};
  std::mutex mutex_;
  std::condition_variable begun_;
};

}  // namespace mime_fast
