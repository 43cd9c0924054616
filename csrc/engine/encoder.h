// The transformer encoder on the rows of many dialogues.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/scratch.h"

namespace mime_fast {

// The rows of some dialogues: dialogue i has rows first[i] to first[i + 1] - 1.
struct Layout {
  std::vector<std::size_t> first{0};
  std::vector<std::uint8_t> real;

  std::size_t rows() const { return first.back(); }
  std::size_t count() const { return first.size() - 1; }
  std::size_t length(std::size_t i) const { return first[i + 1] - first[i]; }
};

// Keys [H, D, padded] and values [H, length, D] out of rows that contain both.
void split_heads(const Model& model, const float* keys, const float* values, std::size_t stride, std::size_t length,
                 std::size_t padded, float* keys_out, float* values_out);

// All layers and the last norm: x [rows, C] is overwritten, the result goes to out.
void run_encoder(const Model& model, Scratch& scratch, const Encoder& encoder, const Layout& layout, float* x,
                 float* out, std::size_t out_stride);

}  // namespace mime_fast
