// LayerNorm and the gate's product.
#pragma once

#include "body/math.h"

namespace mime_fast::MIME_FAST_SET {

// Sum of x - middle, or of its squares, over `size` numbers; two chains of sums at once.
template <bool kSquares>
inline float sum_differences(const float* x, std::size_t size, Vec::F middle) {
  Vec::F even = Vec::zero(), odd = Vec::zero();
  std::size_t i = 0;
  for (; i + 2 * Vec::kWidth <= size; i += 2 * Vec::kWidth) {
    const Vec::F first = Vec::sub(Vec::load(x + i), middle), second = Vec::sub(Vec::load(x + i + Vec::kWidth), middle);
    even = kSquares ? Vec::fma(first, first, even) : Vec::add(even, first);
    odd = kSquares ? Vec::fma(second, second, odd) : Vec::add(odd, second);
  }
  for (; i < size; i += Vec::kWidth) {
    const Vec::F last = size - i >= Vec::kWidth ? Vec::load(x + i) : Vec::load_part(x + i, size - i, middle);
    const Vec::F difference = Vec::sub(last, middle);
    even = kSquares ? Vec::fma(difference, difference, even) : Vec::add(even, difference);
  }
  return Vec::sum_lanes(Vec::add(even, odd));
}

void layer_norm(const NormArgs& args) {
  const auto size = static_cast<float>(args.size);
  for (std::size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    const Vec::F middle = Vec::set1(sum_differences<false>(x, args.size, Vec::zero()) / size);
    const float squares = sum_differences<true>(x, args.size, middle);
    const Vec::F factor = Vec::set1(args.unbiased ? 1.0f / (std::sqrt(squares / (size - 1.0f)) + 1e-6f)
                                                  : 1.0f / std::sqrt(squares / size + 1e-5f));
    for (std::size_t i = 0; i < args.size; i += Vec::kWidth) {
      const std::size_t left = args.size - i;
      const Vec::F normed = Vec::mul(Vec::sub(load_some(x + i, left), middle), factor);
      store_some(out + i, Vec::fma(normed, load_some(args.weight + i, left), load_some(args.bias + i, left)), left);
    }
  }
}

// Multiply `both` [size] by `gate` and return the gate's sum.
inline float gate_half(const float* gate, float* both, std::size_t size) {
  Vec::F total = Vec::zero();
  for (std::size_t i = 0; i < size; i += Vec::kWidth) {
    const Vec::F g = load_some(gate + i, size - i);
    total = Vec::add(total, g);
    store_some(both + i, Vec::mul(g, load_some(both + i, size - i)), size - i);
  }
  return Vec::sum_lanes(total);
}

void apply_gate(const float* gate, float* both, std::size_t rows, std::size_t size, float* share) {
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t first = row * 2 * size;
    const float mimic = gate_half(gate + first, both + first, size);
    const float other = gate_half(gate + first + size, both + first + size, size);
    const float total = mimic + other;
    share[row] = total == 0.0f ? 0.5f : mimic / total;
  }
}

void exponentials(const float* x, std::size_t count, float shift, float factor, float* out) {
  const Vec::F middle = Vec::set1(shift), scale = Vec::set1(factor);
  for (std::size_t i = 0; i < count; i += Vec::kWidth) {
    store_some(out + i, exp(Vec::mul(Vec::sub(load_some(x + i, count - i), middle), scale)), count - i);
  }
}

}  // namespace mime_fast::MIME_FAST_SET
