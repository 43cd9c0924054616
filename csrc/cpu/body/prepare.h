// Activations in the precision of a product.
#pragma once

#include "body/quantize.h"

namespace mime_fast::MIME_FAST_SET {

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

inline void prepare_bfloat16(const float* x, std::size_t inputs, std::uint32_t* words) {
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

std::size_t row_words(Precision precision, std::size_t inputs) {
  const std::size_t words = words_of(precision, inputs);
  return precision == Precision::kFloat32    ? words
         : precision == Precision::kBfloat16 ? words * DotBfloat16::kLeftWords
                                             : int8_row_words(inputs);
}

inline float along_axis(const float* axis, const float* x, std::size_t inputs) {
  Vec::F sum = Vec::zero();
  for (std::size_t i = 0; i < inputs; i += Vec::kWidth) {
    sum = Vec::fma(load_some(axis + i, inputs - i), load_some(x + i, inputs - i), sum);
  }
  return Vec::sum_lanes(sum);
}

void prepare(const PackedMatrix& weight, const float* x, std::size_t x_stride, std::size_t rows, std::uint32_t* words,
             float* scale, float* along) {
  const std::size_t inputs = weight.inputs, stride = row_words(weight.precision, inputs);
  for (std::size_t row = 0; row < rows; ++row, x += x_stride, words += stride) {
    if (weight.precision == Precision::kFloat32) {
      std::memcpy(words, x, inputs * sizeof(float));
    } else if (weight.precision == Precision::kBfloat16) {
      prepare_bfloat16(x, inputs, words);
    } else {
      scale[row] = prepare_int8(x, inputs, words);
      if (!weight.axis.empty()) along[row] = along_axis(weight.axis.data(), x, inputs);
    }
  }
}

}  // namespace mime_fast::MIME_FAST_SET
