// Which tokens of a row are its best where sums decide that round: two logits may differ and the sums of a hypothesis
// with them be equal, and of equal sums the lower token's comes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mime_fast/kernels.h"

namespace mime_fast {

inline float token_logprob(float logit, double log_sum_exp) { return static_cast<float>(logit - log_sum_exp); }

// A row's hypothesis, for the sums with its next tokens.
struct RowSums {
  float before;
  double log_sum_exp;

  float of(float logit) const { return before + token_logprob(logit, log_sum_exp); }
};

// Whether the k best sums are those of the k best logits: `kept` contains these and, where there are more, the next one
// as its last entry.
bool is_clear(const Scored* kept, std::size_t count, std::size_t k, const RowSums& sums);

// The k best of `tokens` by their sums, in no particular order: k of them stay, or all where they are fewer.
void cut_by_sums(std::vector<Scored>& tokens, std::size_t k, const RowSums& sums);

}  // namespace mime_fast
