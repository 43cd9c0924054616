// softmax(q K^T) V for rows that share keys and values, one head after the other.
#pragma once

#include "body/math.h"

namespace mime_fast::MIME_FAST_SET {

constexpr float kMaskedScore = -1e18f;  // the reference's; a row with nothing but masked keys becomes uniform

// scores [length_padded] become weights that sum to 1; what lies after `length` becomes 0.
inline void softmax(float* scores, std::size_t length, std::size_t length_padded) {
  for (std::size_t i = length; i < length_padded; ++i) scores[i] = -std::numeric_limits<float>::infinity();
  Vec::F best = Vec::load(scores);
  for (std::size_t i = Vec::kWidth; i < length_padded; i += Vec::kWidth) best = Vec::max(best, Vec::load(scores + i));
  const Vec::F shift = Vec::set1(Vec::max_lanes(best));
  Vec::F total = Vec::zero();
  for (std::size_t i = 0; i < length_padded; i += Vec::kWidth) {
    const Vec::F weight = exp(Vec::sub(Vec::load(scores + i), shift));
    Vec::store(scores + i, weight);
    total = Vec::add(total, weight);
  }
  const Vec::F share = Vec::set1(1.0f / Vec::sum_lanes(total));
  for (std::size_t i = 0; i < length_padded; i += Vec::kWidth) {
    Vec::store(scores + i, Vec::mul(Vec::load(scores + i), share));
  }
}

constexpr int kRowsTogether = static_cast<int>(kAttentionRows);

// Scores of kRows rows, each `length_padded` apart, from queries that are scaled already.
template <int kRows>
inline void score_rows(const AttentionArgs& args, const float* query, const float* keys, float* scores) {
  for (std::size_t i = 0; i < args.length_padded; i += Vec::kWidth) {
    Vec::F sums[kRows];
    for (Vec::F& sum : sums) sum = Vec::zero();
    for (std::size_t d = 0; d < args.depth; ++d) {
      const Vec::F key = Vec::load(keys + d * args.length_padded + i);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        sums[r] = Vec::fma(Vec::set1(query[static_cast<std::size_t>(r) * args.query_stride + d]), key, sums[r]);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      Vec::store(scores + static_cast<std::size_t>(r) * args.length_padded + i,
                 Vec::mul(sums[r], Vec::set1(args.scale)));
    }
  }
}

// Weighted values of kRows rows: one vector of a head's features, of which `left` are left.
template <int kRows>
inline void weigh_rows(const AttentionArgs& args, const float* scores, const float* values, std::size_t left,
                       float* out) {
  Vec::F sums[kRows];
  for (Vec::F& sum : sums) sum = Vec::zero();
  for (std::size_t i = 0; i < args.length; ++i) {
    const Vec::F value = load_some(values + i * args.depth, left);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      sums[r] = Vec::fma(Vec::set1(scores[static_cast<std::size_t>(r) * args.length_padded + i]), value, sums[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) store_some(out + static_cast<std::size_t>(r) * args.out_stride, sums[r], left);
}

template <int kRows>
inline void attend_rows(const AttentionArgs& args, const float* query, const float* keys, const float* values,
                        float* out) {
  score_rows<kRows>(args, query, keys, args.scratch);
  for (int r = 0; r < kRows; ++r) {
    float* scores = args.scratch + static_cast<std::size_t>(r) * args.length_padded;
    for (std::size_t i = 0; i < args.length; ++i) {
      if (args.real[i] == 0) scores[i] = kMaskedScore;
    }
    softmax(scores, args.length, args.length_padded);
  }
  for (std::size_t d = 0; d < args.depth; d += Vec::kWidth) {
    weigh_rows<kRows>(args, args.scratch, values + d, args.depth - d, out + d);
  }
}

inline float dot(const float* a, const float* b, std::size_t size) {
  Vec::F sum = Vec::zero();
  for (std::size_t i = 0; i < size; i += Vec::kWidth) {
    sum = Vec::fma(load_some(a + i, size - i), load_some(b + i, size - i), sum);
  }
  return Vec::sum_lanes(sum);
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
    for (std::size_t d = 0; d < args.depth; d += Vec::kWidth) {
      const std::size_t left = args.depth - d;
      Vec::F sum = Vec::zero();
      for (std::size_t i = 0; i < args.length; ++i) {
        sum = Vec::fma(Vec::set1(args.scratch[i]), load_some(args.nodes[i] + all_heads + first + d, left), sum);
      }
      store_some(args.out + first + d, sum, left);
    }
  }
}

void attention(const AttentionArgs& args) {
  for (std::size_t head = 0; head < args.heads; ++head) {
    const float* keys = args.keys + head * args.depth * args.length_padded;
    const float* values = args.values + head * args.length * args.depth;
    std::size_t row = 0;
    for (; row + kRowsTogether <= args.rows; row += kRowsTogether) {
      attend_rows<kRowsTogether>(args, args.query + row * args.query_stride + head * args.depth, keys, values,
                                 args.out + row * args.out_stride + head * args.depth);
    }
    for (; row < args.rows; ++row) {
      attend_rows<1>(args, args.query + row * args.query_stride + head * args.depth, keys, values,
                     args.out + row * args.out_stride + head * args.depth);
    }
  }
}

}  // namespace mime_fast::MIME_FAST_SET
