// 4 floats in a register of aarch64; the interface of vec_avx512.h.
#pragma once

#include "body/arrange.h"

namespace mime_fast::MIME_FAST_SET {

struct Vec {
  using F = float32x4_t;
  static constexpr int kWidth = 4;

  static F zero() { return vdupq_n_f32(0.0f); }
  static F set1(float x) { return vdupq_n_f32(x); }
  static F load(const float* p) { return vld1q_f32(p); }
  static F load_part(const float* p, std::size_t n) { return load_part(p, n, zero()); }
  static F load_part(const float* p, std::size_t n, F rest) {
    float lanes[kWidth];
    vst1q_f32(lanes, rest);
    std::memcpy(lanes, p, n * sizeof(float));
    return vld1q_f32(lanes);
  }
  static void store(float* p, F x) { vst1q_f32(p, x); }
  static void store_part(float* p, F x, std::size_t n) {
    float lanes[kWidth];
    vst1q_f32(lanes, x);
    std::memcpy(p, lanes, n * sizeof(float));
  }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F div(F a, F b) { return vdivq_f32(a, b); }
  // b where a is not above it, so that a NaN of b stays, as with x86.
  static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static std::uint32_t bits_above(F a, F b) {
    static constexpr std::uint32_t kBits[kWidth] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgtq_f32(a, b), vld1q_u32(kBits)));
  }
  static F fraction(F t) {
    const F bounded = bound(t);
    return vsubq_f32(bounded, vrndmq_f32(bounded));
  }
  static F scale2(F p, F t) {
    const int32x4_t exponent = vcvtq_s32_f32(vrndmq_f32(bound(t)));
    return vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(exponent, vdupq_n_s32(127)), 23)));
  }

  static float sum_lanes(F x) {
    const float32x2_t two = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static float max_lanes(F x) {
    const F two = max(x, vextq_f32(x, x, 2));
    return vgetq_lane_f32(max(two, vextq_f32(two, two, 1)), 0);
  }
  static void store_low_bytes(std::uint8_t* p, F x) {
    std::uint32_t lanes[kWidth];
    std::memcpy(lanes, &x, sizeof lanes);
    for (int i = 0; i < kWidth; ++i) p[i] = static_cast<std::uint8_t>(lanes[i]);
  }

 private:
  // A NaN stays.
  static F bound(F t) {
    const F low = vdupq_n_f32(-126.0f), high = vdupq_n_f32(127.0f);
    return vbslq_f32(vcltq_f32(t, low), low, vbslq_f32(vcgtq_f32(t, high), high, t));
  }
};

// x may be anything from here on: what is made of it can be neither left out nor reused.
template <typename T>
inline __attribute__((always_inline)) void hide_vector(T& x) {
  asm volatile("" : "+w"(x));
}
inline void hide(float32x4_t& x) { hide_vector(x); }
inline void hide(int32x4_t& x) { hide_vector(x); }

struct DotFloat32 {
  static constexpr Isa kIsa = Isa::kNeon;  // the instruction set whose kernels multiply so
  static constexpr int kLook = 4;          // vectors of logits that the vocabulary's kernel looks at together
  static constexpr int kRows = 6, kTileRows = 6, kVectors = 4, kVectorsOf1 = 8, kVectorsOf3 = 4;
  static constexpr int kParts = 1, kWords = 1, kLeftWords = 1;
  using Acc = float32x4_t;
  using Left = float32x4_t;
  using Right = float32x4_t;
  template <int>
  static Left left(const std::uint32_t* p) {
    return vld1q_dup_f32(reinterpret_cast<const float*>(p));
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return vld1q_f32(reinterpret_cast<const float*>(p));
  }
  static Acc mad(Acc acc, Left a, Right b) { return vfmaq_f32(acc, a, b); }
};

// Products of float32. Activations lie as floats; of a word, the lower weight comes first.
struct DotBfloat16 : DotFloat32 {
  static constexpr int kRows = 5, kTileRows = 5, kParts = 2, kLeftWords = 2;
  template <int kPart>
  static Left left(const std::uint32_t* p) {
    return DotFloat32::left<0>(p + kPart);
  }
  template <int kPart>
  static Right right(const std::uint32_t* p) {
    const uint32x4_t pair = vld1q_u32(p);
    return vreinterpretq_f32_u32(kPart == 0 ? vshlq_n_u32(pair, 16) : vandq_u32(pair, vdupq_n_u32(0xFFFF0000u)));
  }
};

#if MIME_FAST_NATIVE_SDOT
struct DotInt8 {
  static constexpr Isa kIsa = Isa::kNeonDotprod;
  static constexpr int kLook = 4;
  static constexpr int kRows = 6, kTileRows = 6, kVectors = 4, kVectorsOf1 = 8, kVectorsOf3 = 4;
  static constexpr int kParts = 1, kWords = 1, kLeftWords = 1, kOffset = 0;
  using Acc = int32x4_t;
  using Left = int8x16_t;
  using Right = int8x16_t;
  template <int>
  static Left left(const std::uint32_t* p) {
    return vreinterpretq_s8_u32(vld1q_dup_u32(p));
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return vreinterpretq_s8_u32(vld1q_u32(p));
  }
  static Acc mad(Acc acc, Left a, Right b) {
    asm("sdot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(a), "w"(b));  // Clang's arm_neon.h has it with -march only
    return acc;
  }
  static Acc start(const std::int32_t*) { return vdupq_n_s32(0); }
  static Vec::F to_float(Acc acc) { return vcvtq_f32_s32(acc); }
};
inline void hide(int8x16_t& x) { hide_vector(x); }
#else
// 16-bit products of even bytes and of odd ones. Two words' products are added in 16 bits, where four would fit
// (pack()).
struct DotInt8 {
  static constexpr Isa kIsa = Isa::kNeon;
  static constexpr int kLook = 4;
  static constexpr int kRows = 4, kTileRows = 4, kVectors = 2, kVectorsOf1 = 2, kVectorsOf3 = 2;
  static constexpr int kParts = 1, kWords = 2, kLeftWords = 2, kOffset = 0;
  using Acc = int32x4_t;
  struct Halves {  // of one word
    int16x8_t even, odd;
  };
  struct Left {
    Halves first, second;
  };
  using Right = Left;
  template <int>
  static Left left(const std::uint32_t* p) {
    return {repeated(p), repeated(p + 2)};
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return {weights(p), weights(p + kPanelWidth)};
  }
  static Acc mad(Acc acc, const Left& a, const Right& b) {
    const int16x8_t sums = vmlaq_s16(vmulq_s16(a.first.even, b.first.even), a.first.odd, b.first.odd);
    return vpadalq_s16(acc, vmlaq_s16(vmlaq_s16(sums, a.second.even, b.second.even), a.second.odd, b.second.odd));
  }
  friend inline void hide(Left& x) {
    hide_vector(x.first.even), hide_vector(x.first.odd);
    hide_vector(x.second.even), hide_vector(x.second.odd);
  }
  static Acc start(const std::int32_t*) { return vdupq_n_s32(0); }
  static Vec::F to_float(Acc acc) { return vcvtq_f32_s32(acc); }

 private:
  static Halves repeated(const std::uint32_t* p) {
    return {vreinterpretq_s16_u32(vld1q_dup_u32(p)), vreinterpretq_s16_u32(vld1q_dup_u32(p + 1))};
  }
  static Halves weights(const std::uint32_t* p) {
    const int16x8_t bytes = vreinterpretq_s16_u32(vld1q_u32(p));
    return {vshrq_n_s16(vshlq_n_s16(bytes, 8), 8), vshrq_n_s16(bytes, 8)};
  }
};
#endif

}  // namespace mime_fast::MIME_FAST_SET
