// softmax(q K^T) V for rows that share keys and values, one head after the other.
#pragma once

#include "body/math.h"

namespace mime_fast {
namespace {

constexpr float kMaskedScore = -1e18f;  // the reference's; a row with nothing but masked keys becomes uniform

// scores [length_padded] become weights that sum to 1; what lies behind `length` becomes 0.
inline void softmax(float* scores, std::size_t length, std::size_t length_padded) {
  for (std::size_t i = length; i < length_padded; ++i) scores[i] = -std::numeric_limits<float>::infinity();
  Vec::F best = Vec::load(scores);
  for (std::size_t i = Vec::kWidth; i < length_padded; i += Vec::kWidth) best = Vec::max(best, Vec::load(scores + i));
  const Vec::F shift = Vec::set1(max_lanes(best));
  Vec::F total = Vec::zero();
  for (std::size_t i = 0; i < length_padded; i += Vec::kWidth) {
    const Vec::F weight = exp(Vec::sub(Vec::load(scores + i), shift));
    Vec::store(scores + i, weight);
    total = Vec::add(total, weight);
  }
  const Vec::F share = Vec::set1(1.0f / sum_lanes(total));
  for (std::size_t i = 0; i < length_padded; i += Vec::kWidth) {
    Vec::store(scores + i, Vec::mul(Vec::load(scores + i), share));
  }
}

inline void attend_row(const AttentionArgs& args, const float* query, const float* keys, const float* values,
                       float* out) {
  float* scores = args.scratch;
  for (std::size_t i = 0; i < args.length_padded; i += Vec::kWidth) {
    Vec::F sum = Vec::zero();
    for (std::size_t d = 0; d < args.depth; ++d) {
      sum = Vec::fma(Vec::set1(query[d] * args.scale), Vec::load(keys + d * args.length_padded + i), sum);
    }
    Vec::store(scores + i, sum);
  }
  for (std::size_t i = 0; i < args.length; ++i) {
    if (args.real[i] == 0) scores[i] = kMaskedScore;
  }
  softmax(scores, args.length, args.length_padded);
  for_vectors(
      args.depth,
      [&](std::size_t d) {
        Vec::F sum = Vec::zero();
        for (std::size_t i = 0; i < args.length; ++i) {
          sum = Vec::fma(Vec::set1(scores[i]), Vec::load(values + i * args.depth + d), sum);
        }
        Vec::store(out + d, sum);
      },
      [&](std::size_t d, std::size_t n) {
        Vec::F sum = Vec::zero();
        for (std::size_t i = 0; i < args.length; ++i) {
          sum = Vec::fma(Vec::set1(scores[i]), Vec::load_part(values + i * args.depth + d, n), sum);
        }
        Vec::store_part(out + d, sum, n);
      });
}

inline float dot(const float* a, const float* b, std::size_t size) {
  Vec::F sum = Vec::zero();
  for_vectors(
      size, [&](std::size_t i) { sum = Vec::fma(Vec::load(a + i), Vec::load(b + i), sum); },
      [&](std::size_t i, std::size_t n) { sum = Vec::fma(Vec::load_part(a + i, n), Vec::load_part(b + i, n), sum); });
  return sum_lanes(sum);
}

void chain_attention(const ChainArgs& args) {
  const std::size_t all_heads = args.heads * args.depth;
  const std::size_t padded = round_up(args.length, Vec::kWidth);
  for (std::size_t head = 0; head < args.heads; ++head) {
    const std::size_t first = head * args.depth;
    for (std::size_t i = 0; i < args.length; ++i) {
      args.scratch[i] =
          args.real[i] == 0 ? kMaskedScore : args.scale * dot(args.query + first, args.nodes[i] + first, args.depth);
    }
    softmax(args.scratch, args.length, padded);
    const auto weighted = [&](auto load) {
      Vec::F sum = Vec::zero();
      for (std::size_t i = 0; i < args.length; ++i) {
        sum = Vec::fma(Vec::set1(args.scratch[i]), load(args.nodes[i] + all_heads + first), sum);
      }
      return sum;
    };
    for_vectors(
        args.depth,
        [&](std::size_t d) {
          Vec::store(args.out + first + d, weighted([d](const float* values) { return Vec::load(values + d); }));
        },
        [&](std::size_t d, std::size_t n) {
          Vec::store_part(args.out + first + d,
                          weighted([d, n](const float* values) { return Vec::load_part(values + d, n); }), n);
        });
  }
}

void attention(const AttentionArgs& args) {
  for (std::size_t head = 0; head < args.heads; ++head) {
    const float* keys = args.keys + head * args.depth * args.length_padded;
    const float* values = args.values + head * args.length * args.depth;
    for (std::size_t row = 0; row < args.rows; ++row) {
      attend_row(args, args.query + row * args.query_stride + head * args.depth, keys, values,
                 args.out + row * args.out_stride + head * args.depth);
    }
  }
}

}  // namespace
}  // namespace mime_fast
