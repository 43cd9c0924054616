// Activations in int8.
#pragma once

#include "body/math.h"

namespace mime_fast::MIME_FAST_SET {

constexpr std::int32_t kInt8Steps = activation_steps(int8_range_of(DotInt8::kIsa));

inline void look_for_largest(Vec::F value, Vec::F& largest, Vec::F& broken) {
  largest = Vec::max(largest, Vec::max(value, Vec::sub(Vec::zero(), value)));
  broken = Vec::add(broken, Vec::mul(value, Vec::zero()));  // stays 0 but for infinities and NaN
}

// What a row's int8 values are multiples of: its largest magnitude / kInt8Steps; 0 where all are zero or denormal, NaN
// where one is not finite. Two chains of each, as pointwise.h has them.
inline float int8_scale(const float* x, std::size_t inputs) {
  Vec::F largest = Vec::zero(), broken = Vec::zero(), other_largest = Vec::zero(), other_broken = Vec::zero();
  std::size_t i = 0;
  for (; i + 2 * Vec::kWidth <= inputs; i += 2 * Vec::kWidth) {
    look_for_largest(Vec::load(x + i), largest, broken);
    look_for_largest(Vec::load(x + i + Vec::kWidth), other_largest, other_broken);
  }
  for (; i < inputs; i += Vec::kWidth) look_for_largest(load_some(x + i, inputs - i), largest, broken);
  if (Vec::sum_lanes(Vec::add(broken, other_broken)) != 0.0f) return std::numeric_limits<float>::quiet_NaN();
  const float scale = Vec::max_lanes(Vec::max(largest, other_largest)) / kInt8Steps;
  return 1.0f / scale <= std::numeric_limits<float>::max() ? scale : 0.0f;
}

// x / scale rounded to -kInt8Steps .. kInt8Steps, and `offset` (even) added; all x are 0 where the scale is 0 or NaN.
inline void quantize_int8(const float* x, std::size_t inputs, float scale, int offset, std::uint8_t* bytes) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  if (!(scale > 0.0f)) {
    std::memset(bytes, offset, inputs);
    return;
  }
  const Vec::F factor = Vec::set1(1.0f / scale), round = Vec::set1(kRound + static_cast<float>(offset));
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

constexpr std::size_t int8_row_words(std::size_t inputs) {
  return round_up(words_of(Precision::kInt8, inputs), DotInt8::kWords) * DotInt8::kLeftWords;
}

// A row of int8 as DotInt8 reads it; returns its scale.
inline float prepare_int8(const float* x, std::size_t inputs, std::uint32_t* words) {
  const float scale = int8_scale(x, inputs);
  const std::size_t count = words_of(Precision::kInt8, inputs), last = (count - 1) * DotInt8::kLeftWords;
  std::memset(words + last, 0, (int8_row_words(inputs) - last) * sizeof *words);
  if constexpr (DotInt8::kLeftWords == 1) {
    quantize_int8(x, inputs, scale, DotInt8::kOffset, reinterpret_cast<std::uint8_t*>(words));
  } else {
    constexpr std::size_t kTogether = 256;
    std::uint32_t some[kTogether / 4];
    for (std::size_t i = 0; i < inputs; i += kTogether) {
      const std::size_t some_inputs = std::min(kTogether, inputs - i);
      const std::size_t some_words = words_of(Precision::kInt8, some_inputs);
      some[some_words - 1] = 0;
      quantize_int8(x + i, some_inputs, scale, DotInt8::kOffset, reinterpret_cast<std::uint8_t*>(some));
      arrange_halves(some, some_words, words + i / 4 * DotInt8::kLeftWords);
    }
  }
  return scale;
}

}  // namespace mime_fast::MIME_FAST_SET
