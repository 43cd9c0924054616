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
  const std::size_t pairs = inputs / 2;
  for (std::size_t i = 0; i < pairs; ++i) words[i] = bfloat16_bits(x[2 * i]) | bfloat16_bits(x[2 * i + 1]) << 16;
  if (inputs % 2 != 0) words[pairs] = bfloat16_bits(x[inputs - 1]);
}

// x / scale rounded to -127 .. 127, plus the zero point, a byte each. A row that is not finite gets a scale of NaN.
float prepare_int8(const float* x, std::size_t inputs, std::uint8_t* bytes, std::size_t padded) {
  Vec::F largest = Vec::zero();
  Vec::F broken = Vec::zero();  // stays 0 but for infinities and NaN
  for (std::size_t i = 0; i < inputs; i += Vec::kWidth) {
    const Vec::F value = load_some(x + i, inputs - i);
    largest = Vec::max(largest, Vec::max(value, Vec::sub(Vec::zero(), value)));
    broken = Vec::add(broken, Vec::mul(value, Vec::zero()));
  }
  if (Vec::sum_lanes(broken) != 0.0f) {
    std::memset(bytes, static_cast<int>(kZeroPoint), padded);
    return std::numeric_limits<float>::quiet_NaN();
  }
  float scale = Vec::max_lanes(largest) / 127.0f;
  float inverse = 1.0f / scale;
  if (!(inverse <= std::numeric_limits<float>::max())) scale = inverse = 0.0f;  // all are zero or denormal
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const Vec::F factor = Vec::set1(inverse), round = Vec::set1(kRound + static_cast<float>(kZeroPoint));
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
  std::memset(bytes + inputs, static_cast<int>(kZeroPoint), padded - inputs);
  return scale;
}

void prepare(Precision precision, const float* x, std::size_t x_stride, std::size_t rows, std::size_t inputs,
             std::uint32_t* words, float* scale) {
  const std::size_t stride = words_of(precision, inputs);
  for (std::size_t row = 0; row < rows; ++row, x += x_stride, words += stride) {
    if (precision == Precision::kFloat32) {
      std::memcpy(words, x, inputs * sizeof(float));
    } else if (precision == Precision::kBfloat16) {
      prepare_bfloat16(x, inputs, words);
    } else {
      scale[row] = prepare_int8(x, inputs, reinterpret_cast<std::uint8_t*>(words), stride * 4);
    }
  }
}

}  // namespace
}  // namespace mime_fast
