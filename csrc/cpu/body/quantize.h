// Activations in int8.
#pragma once

#include "body/math.h"

namespace mime_fast::MIME_FAST_SET {

inline void look_for_largest(Vec::F value, Vec::F& largest, Vec::F& broken) {
  largest = Vec::max(largest, Vec::max(value, Vec::sub(Vec::zero(), value)));
  broken = Vec::add(broken, Vec::mul(value, Vec::zero()));  // stays 0 but for infinities and NaN
}

// What a row's int8 values are multiples of: its largest magnitude / 127; 0 where all are zero or denormal, NaN where
// one is not finite. Two chains of each, as pointwise.h has them.
inline float int8_scale(const float* x, std::size_t inputs) {
  Vec::F largest = Vec::zero(), broken = Vec::zero(), other_largest = Vec::zero(), other_broken = Vec::zero();
  std::size_t i = 0;
  for (; i + 2 * Vec::kWidth <= inputs; i += 2 * Vec::kWidth) {
    look_for_largest(Vec::load(x + i), largest, broken);
    look_for_largest(Vec::load(x + i + Vec::kWidth), other_largest, other_broken);
  }
  for (; i < inputs; i += Vec::kWidth) look_for_largest(load_some(x + i, inputs - i), largest, broken);
  if (Vec::sum_lanes(Vec::add(broken, other_broken)) != 0.0f) return std::numeric_limits<float>::quiet_NaN();
  const float scale = Vec::max_lanes(Vec::max(largest, other_largest)) / 127.0f;
  return 1.0f / scale <= std::numeric_limits<float>::max() ? scale : 0.0f;
}

// x / scale rounded to -127 .. 127; all 0 where the scale is 0 or NaN.
inline void quantize_int8(const float* x, std::size_t inputs, float scale, std::uint8_t* bytes) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  if (!(scale > 0.0f)) {
    std::memset(bytes, 0, inputs);
    return;
  }
  const Vec::F factor = Vec::set1(1.0f / scale), round = Vec::set1(kRound);
  std::size_t i = 0;
  for (; i + Vec::kWidth <= inputs; i += Vec::kWidth) {
    Vec::store_low_bytes(bytes + i, Vec::fma(Vec::load(x + i), factor, round));
  }
  if (i < inputs) {
    std::uint8_t part[Vec::kWidth];
    Vec::store_low_bytes(part, Vec::fma(load_some(x + i, inputs - i), factor, round));
    std::memcpy(bytes + i, part, inputs - i);
  }
}

// A row of int8 as DotInt8 reads it, with the sum of its negative values at the end where that is needed; returns its
// scale.
inline float prepare_int8(const float* x, std::size_t inputs, std::uint32_t* words) {
  constexpr std::size_t kTogether = 256;
  const float scale = int8_scale(x, inputs);
  alignas(64) std::uint32_t some[kTogether / 4];
  std::uint32_t negative = 0;
  for (std::size_t i = 0; i < inputs; i += kTogether) {
    const std::size_t count = std::min(kTogether, inputs - i), count_words = words_of(Precision::kInt8, count);
    some[count_words - 1] = 0;
    quantize_int8(x + i, count, scale, reinterpret_cast<std::uint8_t*>(some));
    std::uint32_t* arranged = words + i / 4 * DotInt8::kLeftWords;
    DotInt8::arrange(some, count_words, arranged);
    if constexpr (DotInt8::kSumWords > 0) negative += negative_sum(arranged, count_words);
  }
  if constexpr (DotInt8::kSumWords > 0) words[words_of(Precision::kInt8, inputs) * DotInt8::kLeftWords] = negative;
  return scale;
}

}  // namespace mime_fast::MIME_FAST_SET
