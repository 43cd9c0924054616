#include "decoder/team.h"

#include <system_error>

namespace mime_fast {
namespace {

constexpr int kSpins = 20000;  // about 0.2 ms: the next piece of a dialogue's step comes sooner than a sleeper wakes

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

Team::Team(std::size_t size) {
  helpers_.reserve(size);
  for (std::size_t i = 1; i < size; ++i) {
    try {
      helpers_.emplace_back([this, i] { help(i); });
    } catch (const std::system_error&) {
      break;  // the machine gives no more threads
    }
  }
}

Team::~Team() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    ++round_;
  }
  begun_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Team::run(const std::function<void(std::size_t)>& part) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    part_ = &part;
    working_ = helpers_.size();
    ++round_;
  }
  begun_.notify_all();
  part(0);
  for (int spin = 0; working_.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void Team::help(std::size_t index) {
  for (std::uint64_t seen = 0;;) {
    for (int spin = 0; spin < kSpins && round_.load(std::memory_order_acquire) == seen; ++spin) relax();
    {
      std::unique_lock<std::mutex> lock(mutex_);
      begun_.wait(lock, [&] { return round_ != seen; });
      seen = round_;
    }
    if (over_) return;
    (*part_)(index);
    working_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace mime_fast
