// The running log-sum-exp of a row's chunk of the vocabulary.
#pragma once

#include <limits>

#include "body/math.h"

namespace mime_fast::MIME_FAST_SET {

constexpr float kRescaleAbove = 40.0f;  // how far a logit may lie above a partial sum's shift
constexpr float kLowestShift = -1e38f;

// What the inner loop knows of a row: the running partial sum of its chunk, and what its logits are looked at for.
struct alignas(32) RowState {
  float sums[Vec::kWidth];
  float shift;
  float limit;          // a logit above it asks for another shift
  float threshold;      // of its TopTokens
  std::int32_t target;  // token whose logit is wanted, or -1
};

__attribute__((noinline)) inline void raise_shift(RowState& state, float best) {
  const float factor = state.shift <= kLowestShift ? 0.0f : std::exp(state.shift - best);
  for (float& sum : state.sums) sum *= factor;
  state.shift = best;
  state.limit = best + kRescaleAbove;
}

// Of a chunk without a finite logit nothing counts: its powers may have been clamped above 0, and a NaN stays one.
inline PartialSum partial_sum(float shift, float limit, float sum) {
  const bool nothing = limit == -std::numeric_limits<float>::infinity() && sum == sum;
  return nothing ? PartialSum{limit, 0.0f} : PartialSum{shift, sum};
}

}  // namespace mime_fast::MIME_FAST_SET
