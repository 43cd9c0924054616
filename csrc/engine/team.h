// Threads that share the pieces of one computation: for few dialogues on many cores.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace mime_fast {

class Team {
 public:
  // piece(i, member): compute piece i, as the given member of the team. It must not throw.
  using Piece = std::function<void(std::size_t piece, std::size_t member)>;

  // `size` threads, the caller's being one of them.
  explicit Team(std::size_t size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  std::size_t size() const { return helpers_.size() + 1; }
  // All pieces, each by whoever is free: a helper that the system did not let begin holds nothing up.
  void run(std::size_t pieces, const Piece& piece);

 private:
  void help(std::size_t member);
  void work(std::size_t member);

  std::vector<std::thread> helpers_;
  const Piece* piece_ = nullptr;  // of the open round
  std::size_t pieces_ = 0;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> open_{false};
  std::atomic<std::size_t> inside_{0};  // helpers that may be looking at the open round
  std::atomic<std::uint64_t> round_{0};
  std::atomic<bool> over_{false};
  std::mutex mutex_;
  std::condition_variable begun_;
};

}  // namespace mime_fast
