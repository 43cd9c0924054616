// Exponentials, reductions and partial vectors on Vec. No lambdas in the bodies: GCC gives them no target.
#pragma once

#include MIME_FAST_VEC
#include "body/exports.h"

namespace mime_fast::MIME_FAST_SET {

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

// The next vector of an array of which `left` numbers are left; zeros after its end.
inline Vec::F load_some(const float* p, std::size_t left) {
  return left >= Vec::kWidth ? Vec::load(p) : Vec::load_part(p, left);
}
inline void store_some(float* p, Vec::F x, std::size_t left) {
  if (left >= Vec::kWidth) {
    Vec::store(p, x);
  } else {
    Vec::store_part(p, x, left);
  }
}

}  // namespace mime_fast::MIME_FAST_SET
