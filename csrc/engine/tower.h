// A reranker's tower (mime_fast/reference/reranker.py): two layers with a ReLU between them, in float32.
#pragma once

#include <cstddef>

#include "engine/run.h"

namespace mime_fast {

struct Tower {
  const Kernels* kernels = nullptr;
  PackedMatrix first;   // [F, K]
  PackedMatrix second;  // [D, F]
};

// out [count, D] of x [count, K], before it is made a unit vector. A row's bits depend neither on the other rows nor on
// the threads.
void run_tower(const Tower& tower, const RunOptions& run, const float* x, std::size_t count, float* out);

}  // namespace mime_fast
