// Activations in the precision of a product.
#pragma once

#include "body/math.h"

namespace mime_fast {
namespace {

inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// The upper half of a float, rounded to nearest, ties to even; a NaN stays one.
inline std::uint32_t bfloat16_bits(float x) {
  const std::uint32_t bits = bits_of(x);
  const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return (bits & 0x7FFFFFFFu) > 0x7F800000u ? (bits >> 16) | 0x40u : rounded;
}

void prepare_bfloat16(const float* x, std::size_t inputs, std::uint32_t* words) {
  const std::size_t padded = inputs + inputs % 2;
  if constexpr (DotBfloat16::kLeftWords == 2) {  // as floats
    for (std::size_t i = 0; i < inputs; ++i) words[i] = bfloat16_bits(x[i]) << 16;
    if (padded != inputs) words[inputs] = 0;
  } else {
    const std::size_t pairs = inputs / 2;
    for (std::size_t i = 0; i < pairs; ++i) words[i] = bfloat16_bits(x[2 * i]) | bfloat16_bits(x[2 * i + 1]) << 16;
    if (padded != inputs) words[pairs] = bfloat16_bits(x[inputs - 1]);
  }
}

// What a row's int8 values are multiples of: its largest magnitude / 127; 0 where all are zero or denormal, NaN where
// one is not finite.
float int8_scale(const float* x, std::size_t inputs) {
  Vec::F largest = Vec::zero();
  Vec::F broken = Vec::zero();  // stays 0 but for infinities and NaN
  for (std::size_t i = 0; i < inputs; i += Vec::kWidth) {
    const Vec::F value = load_some(x + i, inputs - i);
    largest = Vec::max(largest, Vec::max(value, Vec::sub(Vec::zero(), value)));
    broken = Vec::add(broken, Vec::mul(value, Vec::zero()));
  }
  if (Vec::sum_lanes(broken) != 0.0f) return std::numeric_limits<float>::quiet_NaN();
  const float scale = Vec::max_lanes(largest) / 127.0f;
  return 1.0f / scale <= std::numeric_limits<float>::max() ? scale : 0.0f;
}

// x / scale rounded to -127 .. 127; all 0 where the scale is 0 or NaN.
void quantize_int8(const float* x, std::size_t inputs, float scale, std::uint8_t* bytes) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  if (!(scale > 0.0f)) {
    std::memset(bytes, 0, inputs);
    return;
  }
  const Vec::F factor = Vec::set1(1.0f / scale), round = Vec::set1(kRound);
  for (std::size_t i = 0; i < inputs; i += Vec::kWidth) {
    const std::size_t left = inputs - i;
    const Vec::F rounded = Vec::fma(load_some(x + i, left), factor, round);
    if (left >= Vec::kWidth) {
      Vec::store_low_bytes(bytes + i, rounded);
    } else {
      std::uint8_t part[Vec::kWidth];
      Vec::store_low_bytes(part, rounded);
      std::memcpy(bytes + i, part, left);
    }
  }
}

// A row of int8 as DotInt8 reads it; returns its scale.
float prepare_int8(const float* x, std::size_t inputs, std::uint32_t* words) {
  constexpr std::size_t kTogether = 256;
  const float scale = int8_scale(x, inputs);
  alignas(64) std::uint32_t some[kTogether / 4];
  for (std::size_t i = 0; i < inputs; i += kTogether) {
    const std::size_t count = std::min(kTogether, inputs - i), count_words = words_of(Precision::kInt8, count);
    some[count_words - 1] = 0;
    quantize_int8(x + i, count, scale, reinterpret_cast<std::uint8_t*>(some));
    DotInt8::arrange(some, count_words, words + i / 4 * DotInt8::kLeftWords);
  }
  return scale;
}

std::size_t row_words(Precision precision, std::size_t inputs) {
  const std::size_t words = words_of(precision, inputs);
  return precision == Precision::kFloat32    ? words
         : precision == Precision::kBfloat16 ? words * DotBfloat16::kLeftWords
                                             : words * DotInt8::kLeftWords;
}

void prepare(Precision precision, const float* x, std::size_t x_stride, std::size_t rows, std::size_t inputs,
             std::uint32_t* words, float* scale) {
  const std::size_t stride = row_words(precision, inputs);
  for (std::size_t row = 0; row < rows; ++row, x += x_stride, words += stride) {
    if (precision == Precision::kFloat32) {
      std::memcpy(words, x, inputs * sizeof(float));
    } else if (precision == Precision::kBfloat16) {
      prepare_bfloat16(x, inputs, words);
    } else {
      scale[row] = prepare_int8(x, inputs, words);
    }
  }
}

}  // namespace
}  // namespace mime_fast
