// A worker's memory between kernels, and the products on it. Grows, never shrinks.
#pragma once

#include <cstddef>

#include "engine/model.h"

namespace mime_fast {

// At least `count` floats; what was there is lost when it grows.
class Buffer {
 public:
  float* need(std::size_t count) {
    if (values_.size() < count) {
      values_ = AlignedVector<float>();
      values_.resize(count);
    }
    return values_.data();
  }

 private:
  AlignedVector<float> values_;
};

// Floats that are `stride` apart from row to row.
struct Strided {
  const float* values;
  std::size_t stride;
};

struct LinearOptions {
  Activation activation = Activation::kNone;
  const float* residual = nullptr;  // with the stride of the output
};

class Scratch {
 public:
  explicit Scratch(const Kernels& table) : kernels(table) {}

  // x [rows, K] in the weight's precision; float32 is used where it lies.
  Rows prepared(const PackedMatrix& weight, Strided x, std::size_t rows);
  void linear(const PackedMatrix& weight, Strided x, std::size_t rows, float* out, std::size_t out_stride,
              const LinearOptions& options = {});
  void norm(const Norm& norm, bool unbiased, Strided x, std::size_t rows, float* out, std::size_t out_stride);

  const Kernels& kernels;
  Buffer hidden, normed, wide, attended, channels, windows, keys, values, scores, both, gate, base, said, combined;

 private:
  AlignedVector<std::uint32_t> words_;
  AlignedVector<float> scales_, along_;
};

}  // namespace mime_fast
