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
  const auto look = [&](Vec::F value) {
    largest = Vec::max(largest, Vec::max(value, Vec::sub(Vec::zero(), value)));
    broken = Vec::add(broken, Vec::mul(value, Vec::zero()));
  };
  for_vectors(
      inputs, [&](std::size_t i) { look(Vec::load(x + i)); },
      [&](std::size_t i, std::size_t n) { look(Vec::load_part(x + i, n)); });
  std::memset(bytes, static_cast<int>(kZeroPoint), padded);
  if (sum_lanes(broken) != 0.0f) return std::numeric_limits<float>::quiet_NaN();
  const float scale = max_lanes(largest) / 127.0f;
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  if (!(inverse <= std::numeric_limits<float>::max())) return 0.0f;  // all are denormal
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  constexpr std::uint32_t kRoundBits = 0x4B400000u;
  for (std::size_t i = 0; i < inputs; ++i) {
    bytes[i] = static_cast<std::uint8_t>(bits_of(x[i] * inverse + kRound) - kRoundBits + kZeroPoint);
  }
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
