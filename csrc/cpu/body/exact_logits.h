// Exact logits of a few words: those that the screened projection leaves.
#pragma once

#include "body/math.h"
#include "mime_fast/screen.h"

namespace mime_fast::MIME_FAST_SET {

// Sums in the order of vocab_topk: the bias, then the inputs one by one.
template <int kTokens>
void exact_tokens(const ExactArgs& args, std::size_t first) {
  const ScreenedMatrix& weight = *args.weight;
  const float* rows[kTokens];
  float sums[kTokens];
  for (int i = 0; i < kTokens; ++i) {
    const auto token = static_cast<std::size_t>(args.tokens[first + static_cast<std::size_t>(i)].token);
    rows[i] = weight.rows.data() + token * weight.stride;
    sums[i] = weight.coarse.bias[token];
  }
  for (std::size_t k = 0; k < weight.coarse.inputs; ++k) {
    const float x = args.x[k];
#pragma GCC unroll 8
    for (int i = 0; i < kTokens; ++i) sums[i] = Vec::fma(x, rows[i][k], sums[i]);
  }
  for (int i = 0; i < kTokens; ++i) args.logits[first + static_cast<std::size_t>(i)] = sums[i];
}

// The words of one call lie anywhere in a matrix that is in no near cache.
inline void fetch(const ExactArgs& args, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < std::min(last, args.count); ++i) {
    const ScreenedMatrix& weight = *args.weight;
    const float* row = weight.rows.data() + static_cast<std::size_t>(args.tokens[i].token) * weight.stride;
    for (std::size_t k = 0; k < weight.stride; k += 16) __builtin_prefetch(row + k);
  }
}

void exact_logits(const ExactArgs& args) {
  std::size_t first = 0;
  fetch(args, 0, 8);
  for (; first + 8 <= args.count; first += 8) {
    fetch(args, first + 8, first + 16);
    exact_tokens<8>(args, first);
  }
  for (; first < args.count; ++first) exact_tokens<1>(args, first);
}

}  // namespace mime_fast::MIME_FAST_SET
