// Searches by a team of threads, for ThreadSanitizer: beam_races [BARRIER] leaves out that barrier of each step.

#include <pthread.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "mime_fast/beam_step_core.h"

namespace {

using mime_fast::BeamOffer;
using mime_fast::BeamSizes;
using mime_fast::BeamState;

constexpr std::int32_t kBarriers = 5;  // of a step
constexpr std::int32_t kThreads = 4, kSlots = 5, kWords = 9, kEos = 2, kPositions = 9;

struct Team {
  pthread_barrier_t* barriers;  // one for each place, so that none orders what another one should
  std::int32_t thread;
  std::int32_t without;  // the barrier that is left out, or -1
  std::int32_t* met;     // barriers of this thread and step

  std::int32_t rank() const { return thread; }
  std::int32_t size() const { return kThreads; }
  void sync() const {
    const std::int32_t here = (*met)++;
    if (here != without) pthread_barrier_wait(barriers + here);
  }
  void add(std::int32_t* to, std::int32_t value) const { __atomic_fetch_add(to, value, __ATOMIC_RELAXED); }
};

using Ints = std::vector<std::int32_t>;
using Reals = std::vector<float>;

// All arrays of a state, with a search begun in each slot.
struct Searches {
  BeamSizes sizes;
  std::size_t rows, cells;
  std::vector<double> divisors, pool_scores;
  Ints prefixes, live_count{kSlots}, active, broken_at, live, positions, words, ancestry, banned, forced, pool_sizes,
      pool_counts, pool_words, sorted, counts, chosen, plan, moved_words, moved_rows, ids;
  Reals sums, word_log_probs, pool_sums, pool_log_probs, sorted_sums, moved_log_probs, log_probs;

  Searches(const BeamSizes& given, bool prefixed)
      : sizes(given), rows(static_cast<std::size_t>(kSlots * given.beams)), cells(rows * kPositions) {
    for (std::int32_t i = 0; i < kPositions; ++i) divisors.push_back(i);
    if (prefixed) prefixes.assign(kSlots * kPositions, -1);
    const std::size_t offers = rows * static_cast<std::size_t>(sizes.candidates);
    for (Ints* each : {&active, &live}) each->assign(kSlots, 1);
    for (Ints* each : {&broken_at, &pool_sizes}) each->assign(kSlots, 0);
    for (Ints* each : {&positions, &forced, &pool_counts, &counts}) each->assign(rows, 0);
    for (Ints* each : {&words, &ancestry, &pool_words, &moved_words, &moved_rows}) each->assign(cells, 0);
    for (Reals* each : {&word_log_probs, &pool_log_probs, &moved_log_probs}) each->assign(cells, 0);
    for (Reals* each : {&sums, &pool_sums}) each->assign(rows, 0);
    for (Reals* each : {&sorted_sums, &log_probs}) each->assign(offers, 0);
    for (Ints* each : {&sorted, &ids}) each->assign(offers, 0);
    banned.assign(rows * static_cast<std::size_t>(sizes.bans), -1);
    pool_scores.assign(rows, 0);
    chosen.assign(4 * rows, 0);
    plan.assign(5 * rows + 4 * kSlots, 0);
  }

  BeamState state() {
    return {divisors.data(),       prefixes.empty() ? nullptr : prefixes.data(),
            live_count.data(),     active.data(),
            broken_at.data(),      live.data(),
            positions.data(),      sums.data(),
            words.data(),          word_log_probs.data(),
            ancestry.data(),       banned.data(),
            forced.data(),         pool_sizes.data(),
            pool_counts.data(),    pool_sums.data(),
            pool_scores.data(),    pool_words.data(),
            pool_log_probs.data(), sorted_sums.data(),
            sorted.data(),         counts.data(),
            chosen.data(),         plan.data(),
            moved_words.data(),    moved_log_probs.data(),
            moved_rows.data()};
  }

  // Other words for each row, the likeliest first, many equally likely; NaN in one row of a hundred.
  BeamOffer offer(std::mt19937& random) {
    const auto many = static_cast<std::size_t>(sizes.candidates);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto first = static_cast<std::int32_t>(random() % kWords);
      float log_prob = 0;
      for (std::size_t i = 0; i < many; ++i) {
        log_prob -= static_cast<float>(random() % 3);
        log_probs[row * many + i] = log_prob;
        ids[row * many + i] = (first + static_cast<std::int32_t>(i)) % kWords;
      }
      if (random() % 100 == 0) log_probs[row * many] = std::numeric_limits<float>::quiet_NaN();
    }
    return {log_probs.data(), ids.data(), log_probs.data()};
  }
};

void search(const BeamSizes& sizes, bool prefixed, std::int32_t without, std::mt19937& random) {
  Searches searches(sizes, prefixed);
  const BeamState state = searches.state();
  while (searches.live_count[0] > 0) {
    const BeamOffer offer = searches.offer(random);
    pthread_barrier_t barriers[kBarriers + 1];
    for (pthread_barrier_t& each : barriers) pthread_barrier_init(&each, nullptr, kThreads);
    std::vector<std::thread> team;
    for (std::int32_t thread = 0; thread < kThreads; ++thread) {
      team.emplace_back([&, thread] {
        for (std::int32_t slot = 0; slot < kSlots; ++slot) {
          std::int32_t met = 0;
          mime_fast::advance_slot(sizes, offer, state, slot, Team{barriers, thread, without, &met});
          pthread_barrier_wait(barriers + kBarriers);  // a slot is a block of its own on a GPU
        }
      });
    }
    for (std::thread& each : team) each.join();
    for (pthread_barrier_t& each : barriers) pthread_barrier_destroy(&each);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::int32_t without = argc > 1 ? std::atoi(argv[1]) : -1;
  std::mt19937 random(1);
  for (std::int32_t round = 0; round < 20; ++round) {
    for (const std::int32_t beams : {1, 3}) {
      search({beams, beams > 1 ? 2 * beams : 1, kPositions, kPositions, kEos, 3, 2, 0}, round % 2 == 0, without,
             random);
      search({beams, beams, kPositions, 1, kEos, 2, 0, 1}, round % 2 == 1, without, random);
    }
  }
  std::puts("done");
  return 0;
}
