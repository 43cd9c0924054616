// Exponentials and reductions on Vec.
#pragma once

#include MIME_FAST_VEC

namespace mime_fast {
namespace {

constexpr float kLog2E = 1.44269504088896340736f;

// 2^t with a relative error of 7.5e-8 (degree 5), 2.6e-6 (4) or 7.5e-5 (3); minimax polynomials on [0, 1).
template <int kDegree>
inline Vec::F exp2(Vec::F t) {
  const Vec::F f = Vec::fraction(t);
  Vec::F p;
  if constexpr (kDegree == 5) {
    p = Vec::fma(Vec::set1(0.0018775766948238015f), f, Vec::set1(0.00898933969438076f));
    p = Vec::fma(p, f, Vec::set1(0.05582631751894951f));
    p = Vec::fma(p, f, Vec::set1(0.24015361070632935f));
    p = Vec::fma(p, f, Vec::set1(0.6931530833244324f));
    p = Vec::fma(p, f, Vec::set1(0.9999999403953552f));
  } else if constexpr (kDegree == 4) {
    p = Vec::fma(Vec::set1(0.013534167781472206f), f, Vec::set1(0.052011460065841675f));
    p = Vec::fma(p, f, Vec::set1(0.2414427548646927f));
    p = Vec::fma(p, f, Vec::set1(0.6930038332939148f));
    p = Vec::fma(p, f, Vec::set1(1.0000026226043701f));
  } else {
    p = Vec::fma(Vec::set1(0.07802452147006989f), f, Vec::set1(0.22606715559959412f));
    p = Vec::fma(p, f, Vec::set1(0.6958335638046265f));
    p = Vec::fma(p, f, Vec::set1(0.9999251961708069f));
  }
  return Vec::scale2(p, t);
}

inline Vec::F exp(Vec::F x) { return exp2<5>(Vec::mul(x, Vec::set1(kLog2E))); }

// Sum of the lanes, halves added to halves.
inline float sum_lanes(Vec::F x) {
  float lanes[Vec::kWidth];
  Vec::store(lanes, x);
  for (int half = Vec::kWidth / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

inline float max_lanes(Vec::F x) {
  float lanes[Vec::kWidth];
  Vec::store(lanes, x);
  float best = lanes[0];
  for (int i = 1; i < Vec::kWidth; ++i) best = lanes[i] > best ? lanes[i] : best;
  return best;
}

// Calls body(first, count) for each full vector of [0, size) and once for the rest.
template <typename Full, typename Part>
inline void for_vectors(std::size_t size, Full full, Part part) {
  std::size_t i = 0;
  for (; i + Vec::kWidth <= size; i += Vec::kWidth) full(i);
  if (i < size) part(i, size - i);
}

}  // namespace
}  // namespace mime_fast
