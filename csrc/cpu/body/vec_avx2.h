// 8 floats in a register; the interface of vec_avx512.h.
#pragma once

#include "body/arrange.h"

namespace mime_fast::MIME_FAST_SET {

alignas(32) constexpr std::int32_t kMaskTable[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

struct Vec {
  using F = __m256;
  static constexpr int kWidth = 8;

  static F zero() { return _mm256_setzero_ps(); }
  static F set1(float x) { return _mm256_set1_ps(x); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static F load_part(const float* p, std::size_t n) { return _mm256_maskload_ps(p, mask(n)); }
  static F load_part(const float* p, std::size_t n, F rest) {
    return _mm256_blendv_ps(rest, load_part(p, n), _mm256_castsi256_ps(mask(n)));
  }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static void store_part(float* p, F x, std::size_t n) { _mm256_maskstore_ps(p, mask(n), x); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static float fma(float a, float b, float c) {
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
  }
  static std::uint32_t bits_above(F a, F b) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)));
  }
  static F fraction(F t) {
    const F bounded = bound(t);
    return _mm256_sub_ps(bounded, _mm256_floor_ps(bounded));
  }
  static F scale2(F p, F t) {
    const __m256i exponent = _mm256_cvttps_epi32(_mm256_floor_ps(bound(t)));
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
  }

  static float sum_lanes(F x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float max_lanes(F x) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static void store_low_bytes(std::uint8_t* p, F x) {
    const __m256i low = _mm256_set1_epi32(0x0C080400);  // of each half, four times
    const __m256i fours = _mm256_shuffle_epi8(_mm256_castps_si256(x), low);
    const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), both);
  }

 private:
  static __m256i mask(std::size_t n) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMaskTable + 8 - n));
  }
  // A NaN stays: max and min give their second argument then.
  static F bound(F t) { return _mm256_min_ps(set1(127.0f), _mm256_max_ps(set1(-126.0f), t)); }
};

// x may be anything from here on: what is made of it can be neither left out nor reused.
inline __attribute__((always_inline)) void hide(__m256& x) { asm volatile("" : "+x"(x)); }
inline __attribute__((always_inline)) void hide(__m256i& x) { asm volatile("" : "+x"(x)); }

struct DotFloat32 {
  static constexpr Isa kIsa = Isa::kAvx2;  // the instruction set whose kernels multiply so
  static constexpr int kLook = 4;          // vectors of logits that the vocabulary's kernel looks at together
  static constexpr int kRows = 6, kTileRows = 6, kVectors = 2, kVectorsOf1 = 8, kVectorsOf3 = 4;
  static constexpr int kParts = 1, kWords = 1, kLeftWords = 1;
  using Acc = __m256;
  using Left = __m256;
  using Right = __m256;
  template <int>
  static Left left(const std::uint32_t* p) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(p));
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
  static Acc mad(Acc acc, Left a, Right b) { return _mm256_fmadd_ps(a, b, acc); }
};

// Products of float32. Activations lie as floats; of a word, the lower weight comes first. Five rows: with six and what
// cuts the words apart GCC 12 runs out of registers.
struct DotBfloat16 : DotFloat32 {
  static constexpr int kRows = 5, kTileRows = 5, kVectorsOf1 = 4, kVectorsOf3 = 2, kParts = 2, kLeftWords = 2;
  template <int kPart>
  static Left left(const std::uint32_t* p) {
    return DotFloat32::left<0>(p + kPart);
  }
  template <int kPart>
  static Right right(const std::uint32_t* p) {
    const __m256i pair = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm256_castsi256_ps(kPart == 0 ? _mm256_slli_epi32(pair, 16)
                                          : _mm256_and_si256(pair, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u))));
  }
};

#if MIME_FAST_NATIVE_VNNI
struct DotInt8 {
  static constexpr Isa kIsa = Isa::kAvx2Vnni;
  static constexpr int kLook = 4;
  static constexpr int kRows = 6, kTileRows = 6, kVectors = 2, kVectorsOf1 = 8, kVectorsOf3 = 2;
  static constexpr int kParts = 1, kWords = 1, kLeftWords = 1, kOffset = zero_point(int8_range_of(kIsa));
  using Acc = __m256i;
  using Left = __m256i;
  using Right = __m256i;
  template <int>
  static Left left(const std::uint32_t* p) {
    return _mm256_set1_epi32(static_cast<int>(*p));
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Acc mad(Acc acc, Left a, Right b) {
    // AVX-VNNI's encoding; GCC 12 stores sums that the intrinsic makes.
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
    return acc;
  }
  static Acc start(const std::int32_t* correction) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(correction));
  }
  static Vec::F to_float(Acc acc) { return _mm256_cvtepi32_ps(acc); }
};
#else
// Unsigned activations by signed weights. Four words' products are added in 16 bits: pack() makes sure that they fit.
// Weights are read where they are used: there are no registers for them beside eight sums.
struct DotInt8 {
  static constexpr Isa kIsa = Isa::kAvx2;
  static constexpr int kLook = 8;
  static constexpr int kRows = 8, kTileRows = 2, kVectors = 4, kVectorsOf1 = 4, kVectorsOf3 = 4;
  static constexpr int kParts = 1, kWords = 4, kLeftWords = 1, kOffset = zero_point(int8_range_of(kIsa));
  using Acc = __m256i;
  struct Left {
    __m256i first, second, third, fourth;
  };
  using Right = const std::uint32_t*;
  template <int>
  static Left left(const std::uint32_t* p) {
    return {_mm256_set1_epi32(static_cast<int>(p[0])), _mm256_set1_epi32(static_cast<int>(p[1])),
            _mm256_set1_epi32(static_cast<int>(p[2])), _mm256_set1_epi32(static_cast<int>(p[3]))};
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return p;
  }
  // In one piece: GCC 12 stores sums that the intrinsics make, and reads four addresses where one will do.
  static Acc mad(Acc acc, const Left& a, Right b) {
    struct Words {
      std::uint32_t of[4 * kPanelWidth];
    };
    static_assert(kPanelWidth * sizeof(std::uint32_t) == 64);
    __m256i sums, products;
    asm("vpmaddubsw (%[b]), %[a0], %[sums]\n\t"
        "vpmaddubsw 64(%[b]), %[a1], %[products]\n\t"
        "vpaddw %[products], %[sums], %[sums]\n\t"
        "vpmaddubsw 128(%[b]), %[a2], %[products]\n\t"
        "vpaddw %[products], %[sums], %[sums]\n\t"
        "vpmaddubsw 192(%[b]), %[a3], %[products]\n\t"
        "vpaddw %[products], %[sums], %[sums]\n\t"
        "vpmaddwd %[ones], %[sums], %[sums]\n\t"
        "vpaddd %[sums], %[acc], %[acc]"
        : [acc] "+x"(acc), [sums] "=&x"(sums), [products] "=&x"(products)
        : [a0] "x"(a.first), [a1] "x"(a.second), [a2] "x"(a.third), [a3] "x"(a.fourth), [b] "r"(b),
          "m"(*reinterpret_cast<const Words*>(b)), [ones] "x"(_mm256_set1_epi16(1)));
    return acc;
  }
  friend inline __attribute__((always_inline)) void hide(Left& x) {
    hide(x.first), hide(x.second), hide(x.third), hide(x.fourth);
  }
  static Acc start(const std::int32_t* correction) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(correction));
  }
  static Vec::F to_float(Acc acc) { return _mm256_cvtepi32_ps(acc); }
};
#endif

}  // namespace mime_fast::MIME_FAST_SET
