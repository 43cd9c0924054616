// What the threads of a run share: the dialogues that are left, whether to stop, and the first error.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "engine/run.h"

namespace mime_fast {

class Queue {
 public:
  Queue(const RunOptions& run, std::size_t count) : run_(run), count_(count) {}

  // Up to `wanted` dialogues that nobody has taken, consecutive; fewer at the end.
  std::vector<std::size_t> take(std::size_t wanted) {
    const std::size_t first = next_.fetch_add(wanted);
    std::vector<std::size_t> taken;
    for (std::size_t i = first; i < count_ && i < first + wanted; ++i) taken.push_back(i);
    return taken;
  }

  // Throws once the run is to stop. Every thread asks between steps.
  void check(bool on_caller) {
    if (!stopped_ && run_.should_stop && run_.should_stop(on_caller)) stopped_ = true;
    if (stopped_) throw ModelError("stopped");
  }

  std::size_t workers() const { return std::max<std::size_t>(1, std::min(run_.threads, count_)); }
  // Threads of a worker's team, which share so many pieces.
  std::size_t team_size(std::size_t pieces) const {
    return std::clamp<std::size_t>(run_.threads / workers(), 1, std::max<std::size_t>(1, pieces));
  }
  // Dialogues that a worker has at once: its share, if that is less.
  std::size_t capacity() const { return std::min(run_.batch_size, (count_ + workers() - 1) / workers()); }

  // work(on_caller) on every worker; the first error ends the run.
  void run(const std::function<void(bool)>& work) {
    const auto guarded = [&](bool on_caller) {
      if (!can_throw() && !on_caller) return leave();  // the others do its work
      try {
        work(on_caller);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!error_) error_ = std::current_exception();
        stopped_ = true;
      }
      if (!on_caller) leave();
    };
    std::vector<std::thread> threads;
    threads.reserve(workers());
    running_ = workers() - 1;
    for (std::size_t i = 1; i < workers(); ++i) {
      try {
        threads.emplace_back(guarded, false);
      } catch (const std::exception&) {  // no more threads, or no memory for one: those that run do all of the work
        const std::lock_guard<std::mutex> lock(mutex_);
        running_ -= workers() - i;
        break;
      }
    }
    guarded(true);
    wait();
    for (std::thread& thread : threads) thread.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --running_;
    ended_.notify_one();
  }

  // Have the thread's record of exceptions made, if there is memory. Else its first exception, often for want of
  // memory, would make it, and glibc ends the process where it finds none for it.
  static bool can_throw() {
    void* volatile spare = std::malloc(4096);  // more than the record takes
    if (spare == nullptr) return false;
    std::free(spare);
    [[maybe_unused]] const volatile int thrown = std::uncaught_exceptions();
    return true;
  }

  // The caller has no work left, but signals reach only it.
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!ended_.wait_for(lock, std::chrono::milliseconds(50), [&] { return running_ == 0; })) {
      lock.unlock();
      std::exception_ptr error;
      try {
        if (!stopped_ && run_.should_stop && run_.should_stop(true)) throw ModelError("stopped");
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (!error) continue;
      stopped_ = true;
      if (!error_) error_ = error;
    }
  }

  const RunOptions& run_;
  std::size_t count_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;  // of what follows
  std::condition_variable ended_;
  std::size_t running_ = 0;
  std::exception_ptr error_;
};

}  // namespace mime_fast
