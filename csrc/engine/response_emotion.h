// Response-emotion sampling from the prior (eq. 7-14), always in float32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/scratch.h"

namespace mime_fast {

struct Requests {
  const std::uint64_t* seeds;        // [N]
  const std::uint64_t* request_ids;  // [N]
  const std::int32_t* emotions;      // [N], -1: the classifier's
  bool stochastic;
};

// In place.
void softmax(float* values, std::size_t count);

// d_g by emotion, [N, 32] (eq. 7-14). c: eq. 3, [N, C]; `which` says where the dialogues' requests are.
AlignedVector<float> sample(const Model& model, Scratch& scratch, const AlignedVector<float>& c,
                            const Requests& requests, const std::size_t* which);

}  // namespace mime_fast
