// LayerNorm and the gate's product.
#pragma once

#include "body/math.h"

namespace mime_fast {
namespace {

void layer_norm(const NormArgs& args) {
  const auto size = static_cast<float>(args.size);
  for (std::size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    Vec::F total = Vec::zero();
    for_vectors(
        args.size, [&](std::size_t i) { total = Vec::add(total, Vec::load(x + i)); },
        [&](std::size_t i, std::size_t n) { total = Vec::add(total, Vec::load_part(x + i, n)); });
    const float mean = sum_lanes(total) / size;
    const Vec::F middle = Vec::set1(mean);
    Vec::F squares = Vec::zero();
    std::size_t in_vectors = 0;
    for (; in_vectors + Vec::kWidth <= args.size; in_vectors += Vec::kWidth) {
      const Vec::F d = Vec::sub(Vec::load(x + in_vectors), middle);
      squares = Vec::fma(d, d, squares);
    }
    float sum = sum_lanes(squares);
    for (std::size_t i = in_vectors; i < args.size; ++i) sum += (x[i] - mean) * (x[i] - mean);
    const float inverse =
        args.unbiased ? 1.0f / (std::sqrt(sum / (size - 1.0f)) + 1e-6f) : 1.0f / std::sqrt(sum / size + 1e-5f);
    const Vec::F factor = Vec::set1(inverse);
    const auto normed = [&](Vec::F value, Vec::F weight, Vec::F bias) {
      return Vec::fma(Vec::mul(Vec::sub(value, middle), factor), weight, bias);
    };
    for_vectors(
        args.size,
        [&](std::size_t i) {
          Vec::store(out + i, normed(Vec::load(x + i), Vec::load(args.weight + i), Vec::load(args.bias + i)));
        },
        [&](std::size_t i, std::size_t n) {
          Vec::store_part(
              out + i,
              normed(Vec::load_part(x + i, n), Vec::load_part(args.weight + i, n), Vec::load_part(args.bias + i, n)),
              n);
        });
  }
}

// Multiply `both` [size] by `gate` and return the gate's sum.
inline float gate_half(const float* gate, float* both, std::size_t size) {
  Vec::F total = Vec::zero();
  for_vectors(
      size,
      [&](std::size_t i) {
        const Vec::F g = Vec::load(gate + i);
        total = Vec::add(total, g);
        Vec::store(both + i, Vec::mul(g, Vec::load(both + i)));
      },
      [&](std::size_t i, std::size_t n) {
        const Vec::F g = Vec::load_part(gate + i, n);
        total = Vec::add(total, g);
        Vec::store_part(both + i, Vec::mul(g, Vec::load_part(both + i, n)), n);
      });
  return sum_lanes(total);
}

void apply_gate(const float* gate, float* both, std::size_t rows, std::size_t size, float* share) {
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t first = row * 2 * size;
    const float mimic = gate_half(gate + first, both + first, size);
    const float other = gate_half(gate + first + size, both + first + size, size);
    share[row] = mimic / (mimic + other);
  }
}

}  // namespace
}  // namespace mime_fast
