// From context ids to what the decoder reads: encoding, emotion, response-emotion sampling, refinement and fusion
// (eq. 1-27; a baseline's decoder reads H). Dialogues lie one after the other without padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/memory.h"
#include "engine/response_emotion.h"
#include "engine/scratch.h"

namespace mime_fast {

// N contexts, flat; offsets [N + 1].
struct Contexts {
  const std::int32_t* token_ids;
  const std::int32_t* state_ids;
  const std::int64_t* offsets;
};

// What is found out about N dialogues; the arrays are the caller's.
struct EmotionOutputs {
  float* emotion_logits;          // [N, 32]
  std::int32_t* mimicked;         // [N]
  float* weights;                 // [N, 32], d_g by emotion; null: a baseline
  float* mimic_share;             // [N]; null: a baseline
  float* mimic_shares = nullptr;  // [sum S], of each word, what is at CTX stays; null: not asked for
};

// How many of the dialogues `which` [count] to encode in one go: one, and then as many as stay within rows that a cache
// holds and a user who wants to stop waits for.
std::size_t encode_together(const Contexts& contexts, const std::size_t* which, std::size_t count);

// Emotion logits of the dialogues `which` [count].
void classify(const Model& model, Scratch& scratch, const Contexts& contexts, const std::size_t* which,
              std::size_t count, float* emotion_logits);

// Of the dialogues `which` [count]: c, then the mean of H over all positions but PAD, [N, 2C].
void context_vectors(const Model& model, Scratch& scratch, const Contexts& contexts, const std::size_t* which,
                     std::size_t count, float* vectors);

// Memories of the dialogues `which` [count]; what is recognised goes to their places.
std::vector<Memory> encode(const Model& model, Scratch& scratch, const Contexts& contexts, const Requests& requests,
                           const std::size_t* which, std::size_t count, const EmotionOutputs& outputs);

}  // namespace mime_fast
