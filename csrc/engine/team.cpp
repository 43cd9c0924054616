#include "engine/team.h"

#include <exception>

namespace mime_fast {
namespace {

constexpr int kSpins = 5000;  // about 0.1 ms: the next step of a dialogue comes sooner than a sleeper wakes

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
    } catch (const std::exception&) {
      break;  // the machine gives no more threads, or no memory for one
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

void Team::run(std::size_t pieces, const Piece& piece) {
  piece_ = &piece;
  pieces_ = pieces;
  next_ = 0;
  open_ = true;
  if (!helpers_.empty()) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++round_;
    }
    begun_.notify_all();
  }
  work(0);
  open_ = false;  // who comes now finds it closed; who is inside ends the piece it has
  for (int spin = 0; inside_ != 0; ++spin) {
    if (spin < kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void Team::work(std::size_t member) {
  for (std::size_t piece = next_++; piece < pieces_; piece = next_++) (*piece_)(piece, member);
}

void Team::help(std::size_t member) {
  for (std::uint64_t seen = 0;;) {
    for (int spin = 0; spin < kSpins && round_ == seen; ++spin) relax();
    if (round_ == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      begun_.wait(lock, [&] { return round_ != seen; });
    }
    seen = round_;
    if (over_) return;
    ++inside_;
    if (open_) work(member);
    --inside_;
  }
}

}  // namespace mime_fast
