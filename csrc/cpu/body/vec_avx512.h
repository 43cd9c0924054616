// 16 floats in a register, and the inner products of the three precisions. Included by the
// translation units of its instruction sets (sets/), after their target has been set.
#pragma once

#include "body/arrange.h"

namespace mime_fast::MIME_FAST_SET {

struct Vec {
  using F = __m512;
  static constexpr int kWidth = 16;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load_part(const float* p, std::size_t n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  // Numbers after the first n come from `rest`.
  static F load_part(const float* p, std::size_t n, F rest) { return _mm512_mask_loadu_ps(rest, mask(n), p); }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static void store_part(float* p, F x, std::size_t n) { _mm512_mask_storeu_ps(p, mask(n), x); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static float fma(float a, float b, float c) {
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
  }
  static std::uint32_t bits_above(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  // t - floor(t), 0 for infinities.
  static F fraction(F t) { return _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  // p * 2^floor(t).
  static F scale2(F p, F t) { return _mm512_scalef_ps(p, t); }

  // Halves added to halves.
  static float sum_lanes(F x) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float max_lanes(F x) {
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  // The lowest byte of each lane.
  static void store_low_bytes(std::uint8_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_castps_si512(x)));
  }

 private:
  static __mmask16 mask(std::size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
};

// x may be anything from here on: what is made of it can be neither left out nor reused.
inline __attribute__((always_inline)) void hide(__m512& x) { asm volatile("" : "+v"(x)); }
inline __attribute__((always_inline)) void hide(__m512i& x) { asm volatile("" : "+v"(x)); }

struct DotFloat32 {
  static constexpr Isa kIsa = Isa::kAvx512;  // the instruction set whose kernels multiply so
  static constexpr int kLook = 4;            // vectors of logits that the vocabulary's kernel looks at together
  static constexpr int kRows = 6, kTileRows = 6, kVectors = 4, kVectorsOf1 = 4, kVectorsOf3 = 4;
  static constexpr int kParts = 1, kWords = 1, kLeftWords = 1;
  using Acc = __m512;
  using Left = __m512;
  using Right = __m512;
  template <int>
  static Left left(const std::uint32_t* p) {
    return _mm512_set1_ps(*reinterpret_cast<const float*>(p));
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(p));
  }
  static Acc mad(Acc acc, Left a, Right b) { return _mm512_fmadd_ps(a, b, acc); }
};

struct WordLoads {
  static constexpr int kLook = 4;
  static constexpr int kRows = 6, kTileRows = 6, kVectors = 4, kVectorsOf1 = 4, kVectorsOf3 = 4;
  static constexpr int kParts = 1, kWords = 1, kLeftWords = 1;
  using Left = __m512i;
  using Right = __m512i;
  template <int>
  static Left left(const std::uint32_t* p) {
    return _mm512_set1_epi32(static_cast<int>(*p));
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return _mm512_loadu_si512(p);
  }
};

#if MIME_FAST_NATIVE_BF16
struct DotBfloat16 : WordLoads {
  static constexpr Isa kIsa = Isa::kAvx512Bf16;
  using Acc = __m512;
  static Acc mad(Acc acc, Left a, Right b) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};
#else
// Products of float32. Activations lie as floats; of a word, the lower weight comes first.
struct DotBfloat16 : DotFloat32 {
  static constexpr int kRows = 5, kTileRows = 5, kParts = 2, kLeftWords = 2;  // six rows: GCC 12 stores a sum
  template <int kPart>
  static Left left(const std::uint32_t* p) {
    return DotFloat32::left<0>(p + kPart);
  }
  template <int kPart>
  static Right right(const std::uint32_t* p) {
    const __m512i pair = _mm512_loadu_si512(p);
    return _mm512_castsi512_ps(kPart == 0 ? _mm512_slli_epi32(pair, 16)
                                          : _mm512_and_si512(pair, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))));
  }
};
#endif

#if MIME_FAST_NATIVE_VNNI
struct DotInt8 : WordLoads {
  static constexpr Isa kIsa = Isa::kAvx512Vnni;
  static constexpr int kOffset = zero_point(int8_range_of(kIsa));
  using Acc = __m512i;
  static Acc mad(Acc acc, Left a, Right b) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));  // GCC 12 stores every sum that the intrinsic makes
    return acc;
  }
  static Acc start(const std::int32_t* correction) { return _mm512_loadu_si512(correction); }
  static Vec::F to_float(Acc acc) { return _mm512_cvtepi32_ps(acc); }
};
#else
// As with AVX2 (vec_avx2.h).
struct DotInt8 {
  static constexpr Isa kIsa = Isa::kAvx512;
  static constexpr int kLook = 4;
  static constexpr int kRows = 4, kTileRows = 4, kVectors = 4, kVectorsOf1 = 4, kVectorsOf3 = 4;
  static constexpr int kParts = 1, kWords = 4, kLeftWords = 1, kOffset = zero_point(int8_range_of(kIsa));
  using Acc = __m512i;
  struct Left {
    __m512i first, second, third, fourth;
  };
  using Right = const std::uint32_t*;
  template <int>
  static Left left(const std::uint32_t* p) {
    return {_mm512_set1_epi32(static_cast<int>(p[0])), _mm512_set1_epi32(static_cast<int>(p[1])),
            _mm512_set1_epi32(static_cast<int>(p[2])), _mm512_set1_epi32(static_cast<int>(p[3]))};
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return p;
  }
  static __m512i products(__m512i a, Right b) { return _mm512_maddubs_epi16(a, _mm512_load_si512(b)); }
  static Acc mad(Acc acc, const Left& a, Right b) {
    const __m512i early = _mm512_add_epi16(products(a.first, b), products(a.second, b + kPanelWidth));
    const __m512i late =
        _mm512_add_epi16(products(a.third, b + 2 * kPanelWidth), products(a.fourth, b + 3 * kPanelWidth));
    asm("vpaddd %1, %0, %0" : "+v"(acc) : "v"(_mm512_madd_epi16(_mm512_add_epi16(early, late), _mm512_set1_epi16(1))));
    return acc;
  }
  friend inline __attribute__((always_inline)) void hide(Left& x) {
    hide(x.first), hide(x.second), hide(x.third), hide(x.fourth);
  }
  static Acc start(const std::int32_t* correction) { return _mm512_loadu_si512(correction); }
  static Vec::F to_float(Acc acc) { return _mm512_cvtepi32_ps(acc); }
};
#endif

}  // namespace mime_fast::MIME_FAST_SET
