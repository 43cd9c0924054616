// What a step of one slot's search decides: the order of the candidates, who goes on, who enters the pool.
#pragma once

#include "mime_fast/beam_step.h"

#ifdef __CUDACC__
#define MIME_FAST_BOTH __host__ __device__ inline
#else
#define MIME_FAST_BOTH inline
#endif

namespace mime_fast {

// What a step needs of its slot; everything but `plan` and the like is as it was before the step.
struct BeamSlot {
  const BeamSizes& sizes;
  const BeamOffer& offer;
  const BeamState& state;
  std::int32_t slot;
  std::int32_t step;  // tokens so far
  std::int32_t live;  // beams
  std::int32_t* chosen_beams;
  std::int32_t* chosen_places;
  std::int32_t* plan;

  MIME_FAST_BOTH std::int64_t row(std::int32_t beam) const { return std::int64_t{slot} * sizes.beams + beam; }
  MIME_FAST_BOTH std::int64_t cell(std::int32_t beam, std::int32_t position) const {
    return row(beam) * sizes.positions + position;
  }
  MIME_FAST_BOTH std::int64_t slot_cell(std::int32_t position) const {
    return std::int64_t{slot} * sizes.positions + position;
  }
  MIME_FAST_BOTH std::int64_t entry(std::int32_t beam, std::int32_t place) const {
    return row(beam) * sizes.candidates + place;
  }
  MIME_FAST_BOTH std::int32_t token(std::int32_t beam, std::int32_t place) const {
    return offer.ids[entry(beam, state.sorted[entry(beam, place)])];
  }
  MIME_FAST_BOTH float log_prob(std::int32_t beam, std::int32_t place) const {
    return offer.log_probs[entry(beam, state.sorted[entry(beam, place)])];
  }
  MIME_FAST_BOTH float sum(std::int32_t beam, std::int32_t place) const {
    return state.sorted_sums[entry(beam, place)];
  }

  // Of the i-th best candidate.
  MIME_FAST_BOTH std::int32_t chosen_token(std::int32_t i) const { return token(chosen_beams[i], chosen_places[i]); }
  MIME_FAST_BOTH float chosen_log_prob(std::int32_t i) const { return log_prob(chosen_beams[i], chosen_places[i]); }
  MIME_FAST_BOTH float chosen_sum(std::int32_t i) const { return sum(chosen_beams[i], chosen_places[i]); }

  // Candidates that can matter: in the standard search EOS is kept or dropped beside as many others.
  MIME_FAST_BOTH std::int32_t wanted() const { return sizes.mime != 0 ? sizes.beams : 2 * sizes.beams; }
  MIME_FAST_BOTH bool last_step() const { return step + 2 == sizes.positions; }

  // What rank 0 decides for all: numbers, then lists of candidates by their place among the chosen.
  MIME_FAST_BOTH std::int32_t& num_going() const { return plan[0]; }
  MIME_FAST_BOTH std::int32_t& num_entering() const { return plan[1]; }
  MIME_FAST_BOTH std::int32_t& pool_before() const { return plan[2]; }
  MIME_FAST_BOTH std::int32_t& over() const { return plan[3]; }
  MIME_FAST_BOTH std::int32_t* going() const { return plan + 4; }                          // [R]
  MIME_FAST_BOTH std::int32_t* entering() const { return plan + 4 + sizes.beams; }         // [2 R], into the pool
  MIME_FAST_BOTH std::int32_t* entering_at() const { return plan + 4 + 3 * sizes.beams; }  // [2 R], its place there
};

MIME_FAST_BOTH BeamSlot slot_of(const BeamSizes& sizes, const BeamOffer& offer, const BeamState& state,
                                std::int32_t slot) {
  const std::int64_t first = std::int64_t{slot} * sizes.beams;
  std::int32_t* chosen = state.chosen + 4 * first;
  return {sizes,
          offer,
          state,
          slot,
          state.positions[first],
          state.live[slot],
          chosen,
          chosen + 2 * sizes.beams,
          state.plan + 5 * first + std::int64_t{4} * slot};
}

// Sums of a row's candidates, largest first, equal ones by token: an insertion sort of what is nearly in order, because
// only rounding can change the order that the log-probs came in. Leaves -1 as the count if one is NaN.
MIME_FAST_BOTH void sort_row(const BeamSlot& at, std::int32_t beam) {
  const BeamState& state = at.state;
  float* sums = state.sorted_sums + at.entry(beam, 0);
  std::int32_t* places = state.sorted + at.entry(beam, 0);
  const std::int32_t* ids = at.offer.ids + at.entry(beam, 0);
  const float before = state.sums[at.row(beam)];
  std::int32_t count = 0;
  for (std::int32_t i = 0; i < at.sizes.candidates; ++i) {
    const float log_prob = at.offer.log_probs[at.entry(beam, i)], value = at.offer.values[at.entry(beam, i)];
    if (log_prob != log_prob || value != value) {
      state.counts[at.row(beam)] = -1;
      return;
    }
    const float sum = before + value;
    if (!(sum >= -3.402823466e38f)) continue;  // -inf
    std::int32_t place = count++;
    for (; place > 0; --place) {
      const bool behind = sums[place - 1] > sum || (sums[place - 1] == sum && ids[places[place - 1]] < ids[i]);
      if (behind) break;
      sums[place] = sums[place - 1];
      places[place] = places[place - 1];
    }
    sums[place] = sum;
    places[place] = i;
  }
  state.counts[at.row(beam)] = count;
}

// How many candidates of `other` come before one of `beam` with this sum: equal sums go by the beam.
MIME_FAST_BOTH std::int32_t count_before(const BeamSlot& at, std::int32_t other, std::int32_t beam, float sum) {
  const float* sums = at.state.sorted_sums + at.entry(other, 0);
  std::int32_t low = 0, high = at.state.counts[at.row(other)];
  while (low < high) {
    const std::int32_t middle = (low + high) / 2;
    const bool before = sums[middle] > sum || (sums[middle] == sum && other < beam);
    if (before) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The best candidates of all beams in their order: each finds its own place.
template <class Team>
MIME_FAST_BOTH void choose(const BeamSlot& at, const Team& team) {
  const std::int32_t wanted = at.wanted();
  const std::int32_t depth = at.sizes.candidates < wanted ? at.sizes.candidates : wanted;
  const std::int64_t all = std::int64_t{at.live} * depth;
  for (std::int64_t i = team.rank(); i < all; i += team.size()) {
    const auto beam = static_cast<std::int32_t>(i / depth), entry = static_cast<std::int32_t>(i % depth);
    if (entry >= at.state.counts[at.row(beam)]) continue;
    std::int32_t place = entry;
    for (std::int32_t other = 0; other < at.live && place < wanted; ++other) {
      if (other != beam) place += count_before(at, other, beam, at.sum(beam, entry));
    }
    if (place >= wanted) continue;
    at.chosen_beams[place] = beam;
    at.chosen_places[place] = entry;
  }
}

// Let a candidate into the pool, after all that score the same or more; the last one falls out of a pool above R.
MIME_FAST_BOTH void enter_pool(const BeamSlot& at, std::int32_t candidate) {
  const BeamState& state = at.state;
  const std::int32_t width = at.sizes.beams;
  const std::int64_t base = at.row(0);
  const double score = static_cast<double>(at.chosen_sum(candidate)) / state.divisors[at.step + 1];
  std::int32_t& size = state.pool_sizes[at.slot];
  std::int32_t place = size;
  while (place > 0 && state.pool_scores[base + place - 1] < score) --place;
  if (place == width) return;
  if (size < width) ++size;
  for (std::int32_t i = size - 1; i > place; --i) {
    state.pool_scores[base + i] = state.pool_scores[base + i - 1];
    state.pool_sums[base + i] = state.pool_sums[base + i - 1];
    state.pool_counts[base + i] = state.pool_counts[base + i - 1];
  }
  state.pool_scores[base + place] = score;
  state.pool_sums[base + place] = at.chosen_sum(candidate);
  state.pool_counts[base + place] = at.step + 1;
  at.entering()[at.num_entering()] = candidate;
  at.entering_at()[at.num_entering()] = place;
  ++at.num_entering();
}

// The R best candidates are the beams, wherever their EOS is; over when the best one ends.
MIME_FAST_BOTH void plan_mime(const BeamSlot& at, std::int32_t count) {
  const bool over = count == 0 || at.chosen_token(0) == at.sizes.eos || at.last_step();
  for (std::int32_t i = 0; i < count; ++i) {
    if (over) {
      enter_pool(at, i);
    } else {
      at.going()[at.num_going()++] = i;
    }
  }
  at.over() = over ? 1 : 0;
}

MIME_FAST_BOTH void plan_standard(const BeamSlot& at, std::int32_t count) {
  const std::int32_t width = at.sizes.beams;
  for (std::int32_t i = 0; i < count; ++i) {
    if (at.chosen_token(i) != at.sizes.eos) {
      if (at.num_going() < width) at.going()[at.num_going()++] = i;
    } else if (i < width) {
      enter_pool(at, i);
    }
  }
  bool over = at.num_going() == 0;
  if (!over && at.last_step()) {
    for (std::int32_t i = 0; i < at.num_going(); ++i) enter_pool(at, at.going()[i]);
    over = true;
  }
  if (!over && at.state.pool_sizes[at.slot] == width) {
    const double ending = static_cast<double>(at.chosen_sum(at.going()[0])) / at.state.divisors[at.step + 1];
    over = at.state.pool_scores[at.row(width - 1)] >= ending;
  }
  at.over() = over ? 1 : 0;
}

MIME_FAST_BOTH void make_plan(const BeamSlot& at) {
  std::int64_t offered = 0;
  for (std::int32_t beam = 0; beam < at.live; ++beam) offered += at.state.counts[at.row(beam)];
  const auto count = static_cast<std::int32_t>(offered < at.wanted() ? offered : at.wanted());
  at.num_going() = 0;
  at.num_entering() = 0;
  at.pool_before() = at.state.pool_sizes[at.slot];
  if (at.sizes.mime != 0) {
    plan_mime(at, count);
  } else {
    plan_standard(at, count);
  }
}

}  // namespace mime_fast
