// Matrices as the kernels read them. Dimensions: M rows, K inputs, N outputs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mime_fast/aligned.h"

namespace mime_fast {

enum class Precision { kFloat32, kBfloat16, kInt8 };

constexpr std::size_t kLanes = 16;       // floats of the widest vector; lengths are padded to a multiple of it
constexpr std::size_t kPanelWidth = 16;  // outputs that lie together

// How fine int8 activations are; weights are -127 .. 127 either way.
//   kFull    -127 .. 127, where there are 8-bit dot products
//   kNarrow  -96 .. 96, elsewhere: activations + 96 are multiplied by weights, and eight products are added in 16 bits
//            before they are widened. pack() chooses scales so that these fit: with fewer steps for activations weights
//            would have more, and the other way round; with 96 both are rounded about alike.
enum class Int8Range { kFull, kNarrow };

constexpr std::int32_t activation_steps(Int8Range range) { return range == Int8Range::kFull ? 127 : 96; }
// What is added where products are of unsigned by signed bytes. Even, so that halves are rounded as without it.
constexpr std::int32_t zero_point(Int8Range range) { return range == Int8Range::kFull ? 128 : 96; }

// What a matrix is packed for.
struct Format {
  Format(Precision as, Int8Range int8 = Int8Range::kNarrow) : precision(as), range(int8) {}
  Precision precision;
  Int8Range range;
};

constexpr std::size_t kInt8Words = 4;  // words whose products are added in 16 bits, where that is done

// How many inputs a 32-bit word contains: one float, two bfloat16 or four int8.
constexpr std::size_t inputs_per_word(Precision precision) {
  return precision == Precision::kFloat32 ? 1 : precision == Precision::kBfloat16 ? 2 : 4;
}
constexpr std::size_t words_of(Precision precision, std::size_t inputs) {
  return (inputs + inputs_per_word(precision) - 1) / inputs_per_word(precision);
}
constexpr std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

// W [N, K] for y = x W^T + b, in panels of 16 outputs: panels [padded / 16, panel_words / 16, 16]. A panel has the
// words of all its outputs for the first inputs, then for the next: a kernel reads it from front to back, one cache
// line at a time, and it stays in the first-level cache while all rows pass. Laid out alike for every instruction set,
// which reads as many panels side by side as its registers have sums for.
struct PackedMatrix {
  Precision precision = Precision::kFloat32;
  std::size_t outputs = 0;                 // N
  std::size_t inputs = 0;                  // K
  std::size_t words = 0;                   // of 32 bits, along K
  std::size_t panel_words = 0;             // of a panel: 16 for each of these and, int8, of zeros up to kInt8Words
  std::size_t padded = 0;                  // N rounded up to kPanelWidth or a multiple of it
  AlignedVector<std::uint32_t> panels;     // [padded / 16 * panel_words]
  AlignedVector<float> bias;               // [padded], zero where there is none
  AlignedVector<float> scale;              // int8: [padded], of which the weights are multiples
  AlignedVector<std::int32_t> correction;  // int8: [padded], -zero_point times the sum of an output's weights
  // int8, or empty: a direction v [K] that most outputs share and what each has of it [padded]. The panels have only
  // what is left: w = loading v + rest.
  AlignedVector<float> axis, loading;
};

// Pack W [outputs, inputs] (row stride `stride`), bias [outputs] or null. pad_outputs: N is padded to a multiple of it
// (itself one of kPanelWidth), the padding with zero weights and a zero bias. A weight that is not finite stays so in
// float32 and bfloat16; in int8 it makes its output NaN. An int8 scale of a narrow range is so large that eight
// products of weights by activations of 0 to 192 never pass 32767: of every sixteen inputs those of bytes 0 and 1 of
// each word, and those of bytes 2 and 3.
PackedMatrix pack(Format format, const float* weight, std::size_t outputs, std::size_t inputs, std::size_t stride,
                  const float* bias, std::size_t pad_outputs = kPanelWidth);

// The same for a projection to a vocabulary; the padding has a bias of -inf. In int8 the leading direction of the words
// is taken out: trained ones, rare ones above all, have most of their length along it, and then their steps are large.
PackedMatrix pack_vocabulary(Format format, const float* weight, std::size_t outputs, std::size_t inputs,
                             const float* bias, std::size_t pad_outputs);

// Rows of activations in the matrix's precision: words [M, stride], scale [M] (int8), v x [M] (where there is an axis
// v).
struct Rows {
  const std::uint32_t* words = nullptr;
  std::size_t stride = 0;
  const float* scale = nullptr;
  const float* along = nullptr;
};

}  // namespace mime_fast
