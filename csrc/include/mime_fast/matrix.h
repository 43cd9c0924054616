// Matrices as the kernels read them. Dimensions: M rows, K inputs, N outputs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mime_fast/aligned.h"

namespace mime_fast {

enum class Precision { kFloat32, kBfloat16, kInt8 };

constexpr std::size_t kLanes = 16;        // floats of the widest vector; lengths are padded to a multiple of it
constexpr std::size_t kPanelWidth = 16;   // outputs that lie together
constexpr std::int32_t kZeroPoint = 128;  // of int8 activations where products are of unsigned by signed bytes

// How many inputs a 32-bit word contains: one float, two bfloat16 or four int8.
constexpr std::size_t inputs_per_word(Precision precision) {
  return precision == Precision::kFloat32 ? 1 : precision == Precision::kBfloat16 ? 2 : 4;
}
constexpr std::size_t words_of(Precision precision, std::size_t inputs) {
  return (inputs + inputs_per_word(precision) - 1) / inputs_per_word(precision);
}
constexpr std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

// W [N, K] for y = x W^T + b, in panels of 16 outputs: panels [padded / 16, words, 16]. A panel has the words of all
// its outputs for the first inputs, then for the next: a kernel reads it from front to back, one cache line at a time,
// and it stays in the first-level cache while all rows pass. The same for every instruction set, which reads as many
// panels side by side as its registers have sums for.
struct PackedMatrix {
  Precision precision = Precision::kFloat32;
  std::size_t outputs = 0;                 // N
  std::size_t inputs = 0;                  // K
  std::size_t words = 0;                   // of 32 bits, along K
  std::size_t padded = 0;                  // N rounded up to kPanelWidth or a multiple of it
  AlignedVector<std::uint32_t> panels;     // [padded * words]
  AlignedVector<float> bias;               // [padded], zero where there is none
  AlignedVector<float> scale;              // int8: [padded], of which the weights are multiples
  AlignedVector<std::int32_t> correction;  // int8: [padded], -kZeroPoint times the sum of an output's weights
};

// Pack W [outputs, inputs] (row stride `stride`), bias [outputs] or null. pad_outputs: N is padded to a multiple of it
// (itself one of kPanelWidth), the padding with zero weights and a zero bias. A weight that is not finite stays so in
// float32 and bfloat16; in int8 it makes its output NaN. An int8 scale is so large that four products of weights by
// activations of up to 127, as instruction sets without 8-bit dot products add them in 16 bits, never pass 32767: those
// of inputs 2i and 2i + 1 and of the two that lie four inputs on (i = 0, 1 of every eight).
PackedMatrix pack(Precision precision, const float* weight, std::size_t outputs, std::size_t inputs, std::size_t stride,
                  const float* bias, std::size_t pad_outputs = kPanelWidth);

// Rows of activations in the matrix's precision: words [M, stride], scale [M] (int8).
struct Rows {
  const std::uint32_t* words = nullptr;
  std::size_t stride = 0;
  const float* scale = nullptr;
};

}  // namespace mime_fast
