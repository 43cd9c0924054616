// One step of one slot's search, for a team of threads: a block on a GPU, one or more threads on a CPU. The same code
// runs in both, so that what is tested on a CPU is what a GPU runs.
//
// A Team has rank(), size(), sync() and add(pointer, value).
#pragma once

#include "mime_fast/beam_step_plan.h"

namespace mime_fast {

// The words of what enters the pool, position by position.
template <class Team>
MIME_FAST_BOTH void copy_to_pool(const BeamSlot& at, const Team& team) {
  const BeamState& state = at.state;
  const std::int64_t length = at.sizes.positions;
  for (std::int32_t i = team.rank(); i <= at.step; i += team.size()) {
    std::int32_t* words = state.pool_words + at.cell(0, i);
    float* log_probs = state.pool_log_probs + at.cell(0, i);
    std::int32_t size = at.pool_before();
    for (std::int32_t n = 0; n < at.num_entering(); ++n) {
      const std::int32_t candidate = at.entering()[n], place = at.entering_at()[n];
      if (size < at.sizes.beams) ++size;
      for (std::int32_t k = size - 1; k > place; --k) {
        words[k * length] = words[(k - 1) * length];
        log_probs[k * length] = log_probs[(k - 1) * length];
      }
      const std::int64_t from = at.cell(at.chosen_beams[candidate], i + 1);
      const bool fresh = i == at.step;
      words[place * length] = fresh ? at.chosen_token(candidate) : state.words[from];
      log_probs[place * length] = fresh ? at.chosen_log_prob(candidate) : state.word_log_probs[from];
    }
  }
}

// What is live next takes over its parent's words and ancestry. A thread has whole positions to itself.
template <class Team>
MIME_FAST_BOTH void move_beams(const BeamSlot& at, const Team& team) {
  const BeamState& state = at.state;
  for (std::int32_t position = team.rank(); position <= at.step; position += team.size()) {
    for (std::int32_t beam = 0; beam < at.num_going(); ++beam) {
      const std::int64_t from = at.cell(at.chosen_beams[at.going()[beam]], position), to = at.cell(beam, position);
      state.moved_words[to] = state.words[from];
      state.moved_log_probs[to] = state.word_log_probs[from];
      state.moved_rows[to] = state.ancestry[from];
    }
    for (std::int32_t beam = 0; beam < at.num_going(); ++beam) {
      const std::int64_t to = at.cell(beam, position);
      state.words[to] = state.moved_words[to];
      state.word_log_probs[to] = state.moved_log_probs[to];
      state.ancestry[to] = state.moved_rows[to];
    }
  }
}

// The new token of each beam, at a position that nothing else touches meanwhile. Rows of beams that are not live are
// fed what happens to lie there.
template <class Team>
MIME_FAST_BOTH void feed_beams(const BeamSlot& at, const Team& team) {
  const BeamState& state = at.state;
  const std::int32_t next = at.step + 1;
  for (std::int32_t beam = team.rank(); beam < at.sizes.beams; beam += team.size()) {
    const std::int64_t row = at.row(beam);
    state.positions[row] = next;
    state.ancestry[at.cell(beam, next)] = beam;
    if (state.prefixes != nullptr) state.forced[row] = state.prefixes[at.slot_cell(next)];
    if (beam >= at.num_going()) continue;
    const std::int32_t candidate = at.going()[beam];
    state.words[at.cell(beam, next)] = at.chosen_token(candidate);
    state.word_log_probs[at.cell(beam, next)] = at.chosen_log_prob(candidate);
    state.sums[row] = at.chosen_sum(candidate);
  }
  if (team.rank() == 0) state.live[at.slot] = at.num_going();
}

// Whether the n - 1 tokens before token `end` are the last n - 1 of all `count` tokens.
MIME_FAST_BOTH bool repeats(const std::int32_t* tokens, std::int32_t count, std::int32_t end, std::int32_t n) {
  for (std::int32_t i = 1; i < n; ++i) {
    if (tokens[end - i] != tokens[count - i]) return false;
  }
  return true;
}

// What may not come next: EOS in the first place, then each token that would complete an n-gram again.
template <class Team>
MIME_FAST_BOTH void ban(const BeamSlot& at, const Team& team) {
  const std::int32_t bans = at.sizes.bans, n = at.sizes.no_repeat_ngram_size, count = at.step + 1;
  const std::int64_t all = std::int64_t{at.num_going()} * bans;
  for (std::int64_t i = team.rank(); i < all; i += team.size()) {
    const auto beam = static_cast<std::int32_t>(i / bans), end = static_cast<std::int32_t>(i % bans) - 1;
    const std::int32_t* tokens = at.state.words + at.cell(beam, 1);
    std::int32_t banned = -1;
    if (end < 0) {
      if (count < at.sizes.min_new_tokens) banned = at.sizes.eos;
    } else if (n > 0 && end >= n - 1 && end < count && repeats(tokens, count, end, n)) {
      banned = tokens[end];
    }
    at.state.banned[at.row(beam) * bans + end + 1] = banned;
  }
}

template <class Team>
MIME_FAST_BOTH void end_search(const BeamSlot& at, const Team& team, std::int32_t broken_at) {
  if (team.rank() != 0) return;
  at.state.active[at.slot] = 0;
  at.state.broken_at[at.slot] = broken_at;
  team.add(at.state.live_count, -1);
}

template <class Team>
MIME_FAST_BOTH void advance_slot(const BeamSizes& sizes, const BeamOffer& offer, const BeamState& state,
                                 std::int32_t slot, const Team& team) {
  if (state.active[slot] == 0) return;
  const BeamSlot at = slot_of(sizes, offer, state, slot);
  for (std::int32_t beam = team.rank(); beam < at.live; beam += team.size()) sort_row(at, beam);
  team.sync();
  for (std::int32_t beam = 0; beam < at.live; ++beam) {
    if (state.counts[at.row(beam)] < 0) {
      end_search(at, team, at.step);
      return;
    }
  }
  choose(at, team);
  team.sync();
  if (team.rank() == 0) make_plan(at);
  team.sync();
  copy_to_pool(at, team);
  if (at.over() != 0) {
    end_search(at, team, -1);
    return;
  }
  team.sync();
  move_beams(at, team);
  feed_beams(at, team);
  team.sync();
  ban(at, team);
}

}  // namespace mime_fast
