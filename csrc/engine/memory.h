// What the decoder reads of a dialogue, and who listens to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/encoder.h"

namespace mime_fast {

// Keys and values of what a dialogue's layers read: M_fused in MIME, H in a baseline.
struct Memory {
  std::size_t length = 0;
  std::size_t length_padded = 0;
  std::vector<std::uint8_t> real;  // [length]
  // A layer that the dialogue goes through: in MoEL the listeners that it uses, the shared one last; then, in all
  // models, the decoder's layers.
  struct Layer {
    std::size_t of;                 // its place among the model's layers
    float weight;                   // p of a listener, 1 of all others
    AlignedVector<float> keys{};    // [H, D, length_padded]
    AlignedVector<float> values{};  // [H, length, D]
  };
  std::vector<Layer> layers;
};

// Memories of dialogues by what memory_key_value read, [rows, C or 2C]; emotion_logits [N, 32] choose the listeners.
std::vector<Memory> remember(const Model& model, Scratch& scratch, const Layout& layout, const float* read,
                             const float* emotion_logits);

}  // namespace mime_fast
