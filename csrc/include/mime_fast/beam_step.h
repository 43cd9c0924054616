// The search after each step of the model: candidates in, the next beams out. docs/gpu.md states the state.
//
// B slots have a dialogue each. Slot b owns rows b R to b R + R - 1 of N = B R, its live beams first, best first.
// T = max_new_tokens + 1 positions: position 0 is SOS, position i + 1 has token i.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mime_fast {

struct BeamSizes {
  std::int32_t beams;       // R
  std::int32_t candidates;  // k, of a row
  std::int32_t positions;   // T
  std::int32_t bans;        // M, of a row: 0, 1 (EOS), or T (EOS and n-grams)
  std::int32_t eos;
  std::int32_t min_new_tokens;
  std::int32_t no_repeat_ngram_size;
  std::int32_t mime;  // the released beam search
};

// What the model says of each row: its best tokens, or only the forced one; -inf where there are no more, NaN where it
// broke.
struct BeamOffer {
  const float* log_probs;   // [N, k]
  const std::int32_t* ids;  // [N, k]
  const float* values;      // [N, k], what sums grow by: the log-probs, penalised ones of tokens that have been said
};

struct BeamState {
  const double* divisors;        // [T], count ** length_penalty
  const std::int32_t* prefixes;  // [B, T], the tokens that a response begins with, then -1; null: none

  std::int32_t* live_count;  // [1], slots with `active` set
  std::int32_t* active;      // [B], 1 while the slot's search goes on
  std::int32_t* broken_at;   // [B], the step at which the model gave NaN, or -1
  std::int32_t* live;        // [B], live beams
  std::int32_t* positions;   // [N], of the token that is fed now, words[n, positions[n]]
  float* sums;               // [N], S
  std::int32_t* words;       // [N, T], tokens fed, SOS first
  float* word_log_probs;     // [N, T]
  std::int32_t* ancestry;    // [N, T], the slot's row (0 to R - 1) that keeps each position's keys and values
  std::int32_t* banned;      // [N, M], tokens that may not come next; -1: none
  std::int32_t* forced;      // [N], the only token that may come next, or -1

  std::int32_t* pool_sizes;   // [B], finished hypotheses, best first
  std::int32_t* pool_counts;  // [B, R], their tokens, EOS included
  float* pool_sums;           // [B, R]
  double* pool_scores;        // [B, R]
  std::int32_t* pool_words;   // [B, R, T], without SOS
  float* pool_log_probs;      // [B, R, T]

  // Room to work in.
  float* sorted_sums;         // [N, k]
  std::int32_t* sorted;       // [N, k], places in the offer
  std::int32_t* counts;       // [N], candidates above -inf
  std::int32_t* chosen;       // [B, 2, 2 R], rows and places of the best candidates
  std::int32_t* plan;         // [B, 4 + 5 R], see beam_step_core.h
  std::int32_t* moved_words;  // [N, T]
  float* moved_log_probs;     // [N, T]
  std::int32_t* moved_rows;   // [N, T]
};

// One step of the slots 0 to slots - 1 on the CPU, by `threads` threads that share each slot as a block of a GPU does.
void run_beam_step(const BeamSizes& sizes, const BeamOffer& offer, const BeamState& state, std::int32_t slots,
                   std::int32_t threads);

}  // namespace mime_fast
