#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "mime_fast/beam_step_core.h"

namespace mime_fast {
namespace {

class Barrier {
 public:
  explicit Barrier(std::int32_t threads) : threads_(threads) {}
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const std::int64_t round = round_;
    if (++waiting_ == threads_) {
      waiting_ = 0;
      ++round_;
      all_here_.notify_all();
      return;
    }
    all_here_.wait(lock, [&] { return round_ != round; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  std::int32_t threads_;
  std::int32_t waiting_ = 0;
  std::int64_t round_ = 0;
};

struct OneThread {
  std::int32_t rank() const { return 0; }
  std::int32_t size() const { return 1; }
  void sync() const {}
  void add(std::int32_t* to, std::int32_t value) const { *to += value; }
};

struct ThreadTeam {
  Barrier* barrier;
  std::int32_t thread;
  std::int32_t threads;

  std::int32_t rank() const { return thread; }
  std::int32_t size() const { return threads; }
  void sync() const { barrier->wait(); }
  void add(std::int32_t* to, std::int32_t value) const { *to += value; }  // slots come one after the other
};

}  // namespace

void run_beam_step(const BeamSizes& sizes, const BeamOffer& offer, const BeamState& state, std::int32_t slots,
                   std::int32_t threads) {
  if (threads == 1) {
    for (std::int32_t slot = 0; slot < slots; ++slot) advance_slot(sizes, offer, state, slot, OneThread{});
    return;
  }
  Barrier barrier(threads);
  std::vector<std::thread> team;
  for (std::int32_t thread = 0; thread < threads; ++thread) {
    team.emplace_back([&, thread] {
      for (std::int32_t slot = 0; slot < slots; ++slot) {
        advance_slot(sizes, offer, state, slot, ThreadTeam{&barrier, thread, threads});
        barrier.wait();
      }
    });
  }
  for (std::thread& each : team) each.join();
}

}  // namespace mime_fast
