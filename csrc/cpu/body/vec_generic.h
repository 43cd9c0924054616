// 4 floats in plain C++ with the vector types of GCC and Clang, for any processor; the interface of vec_avx512.h.
#pragma once

#include "body/arrange.h"

namespace mime_fast::MIME_FAST_SET {

typedef float Floats __attribute__((vector_size(16)));
typedef std::int16_t Shorts __attribute__((vector_size(16)));
typedef std::int32_t Ints __attribute__((vector_size(16)));
typedef std::uint32_t Words __attribute__((vector_size(16)));

struct Vec {
  using F = Floats;
  static constexpr int kWidth = 4;

  static F zero() { return F{}; }
  static F set1(float x) { return F{x, x, x, x}; }
  static F load(const float* p) {
    F x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static F load_part(const float* p, std::size_t n) {
    F x{};
    std::memcpy(&x, p, n * sizeof(float));
    return x;
  }
  static F load_part(const float* p, std::size_t n, F rest) {
    std::memcpy(&rest, p, n * sizeof(float));
    return rest;
  }
  static void store(float* p, F x) { std::memcpy(p, &x, sizeof x); }
  static void store_part(float* p, F x, std::size_t n) { std::memcpy(p, &x, n * sizeof(float)); }
  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F div(F a, F b) { return a / b; }
  static F max(F a, F b) { return a > b ? a : b; }
  static F fma(F a, F b, F c) { return a * b + c; }
  static float fma(float a, float b, float c) { return a * b + c; }
  static std::uint32_t bits_above(F a, F b) {
    const Ints above = a > b;
    return (above[0] & 1u) | (above[1] & 2u) | (above[2] & 4u) | (above[3] & 8u);
  }
  static F fraction(F t) {
    const F bounded = bound(t);
    return bounded - floor(bounded);
  }
  static F scale2(F p, F t) {
    const Ints exponent = __builtin_convertvector(floor(bound(t)), Ints);
    const Words power = (reinterpret_cast<Words>(exponent) + 127u) << 23;
    return p * reinterpret_cast<F>(power);
  }

  static float sum_lanes(F x) { return (x[0] + x[2]) + (x[1] + x[3]); }
  static float max_lanes(F x) {
    const float even = x[0] > x[2] ? x[0] : x[2], odd = x[1] > x[3] ? x[1] : x[3];
    return even > odd ? even : odd;
  }
  static void store_low_bytes(std::uint8_t* p, F x) {
    std::uint32_t lanes[kWidth];
    std::memcpy(lanes, &x, sizeof x);
    for (int i = 0; i < kWidth; ++i) p[i] = static_cast<std::uint8_t>(lanes[i]);
  }

 private:
  static F bound(F t) {
    const F raised = t < -126.0f ? set1(-126.0f) : t;
    return raised > 127.0f ? set1(127.0f) : raised;
  }
  static F floor(F t) {  // of a bounded t
    const F cut = __builtin_convertvector(__builtin_convertvector(t == t ? t : F{}, Ints), F);
    const F whole = cut > t ? cut - 1.0f : cut;
    return t == t ? whole : t;
  }
};

// x may be anything from here on: what is made of it can be neither left out nor reused.
template <typename T>
inline __attribute__((always_inline)) void hide_vector(T& x) {
#if defined(__x86_64__)
  asm volatile("" : "+x"(x));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(x));
#else
  asm volatile("" : "+m"(x));
#endif
}
inline void hide(Floats& x) { hide_vector(x); }
inline void hide(Ints& x) { hide_vector(x); }

struct DotFloat32 {
  static constexpr Isa kIsa = Isa::kGeneric;  // the instruction set whose kernels multiply so
  static constexpr int kLook = 4;             // vectors of logits that the vocabulary's kernel looks at together
  static constexpr int kRows = 4, kTileRows = 4, kVectors = 2, kVectorsOf1 = 4, kVectorsOf3 = 2;
  static constexpr int kParts = 1, kWords = 1, kLeftWords = 1;
  using Acc = Floats;
  using Left = Floats;
  using Right = Floats;
  template <int>
  static Left left(const std::uint32_t* p) {
    return Vec::set1(*reinterpret_cast<const float*>(p));
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    return Vec::load(reinterpret_cast<const float*>(p));
  }
  static Acc mad(Acc acc, Left a, Right b) { return acc + a * b; }
};

inline Words load_words(const std::uint32_t* p) {
  Words x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

// Products of float32. Activations lie as floats; of a word, the lower weight comes first.
struct DotBfloat16 : DotFloat32 {
  static constexpr int kRows = 3, kTileRows = 3, kVectorsOf1 = 2, kParts = 2, kLeftWords = 2;
  template <int kPart>
  static Left left(const std::uint32_t* p) {
    return DotFloat32::left<0>(p + kPart);
  }
  template <int kPart>
  static Right right(const std::uint32_t* p) {
    const Words pair = load_words(p);
    return reinterpret_cast<Floats>(kPart == 0 ? pair << 16 : pair & 0xFFFF0000u);
  }
};

// 16-bit products of even bytes and of odd ones. Two words' products are added in 16 bits, where four would fit
// (pack()).
struct DotInt8 {
  static constexpr Isa kIsa = Isa::kGeneric;
  static constexpr int kLook = 4;
  static constexpr int kRows = 6, kTileRows = 6, kVectors = 1, kVectorsOf1 = 1, kVectorsOf3 = 1;
  static constexpr int kParts = 1, kWords = 2, kLeftWords = 2, kOffset = 0;
  using Acc = Ints;
  struct Halves {  // of one word
    Shorts even, odd;
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
    return widen(acc, products(a.first, b.first) + products(a.second, b.second));
  }
  friend inline void hide(Left& x) {
    hide_vector(x.first.even), hide_vector(x.first.odd);
    hide_vector(x.second.even), hide_vector(x.second.odd);
  }
  static Acc start(const std::int32_t*) { return Ints{}; }
  static Floats to_float(Acc acc) { return __builtin_convertvector(acc, Floats); }

 private:
  static Halves repeated(const std::uint32_t* p) {
    return {reinterpret_cast<Shorts>(Words{p[0], p[0], p[0], p[0]}),
            reinterpret_cast<Shorts>(Words{p[1], p[1], p[1], p[1]})};
  }
  static Halves weights(const std::uint32_t* p) {
    const Words bytes = load_words(p);
    return {reinterpret_cast<Shorts>((bytes & 0x00FF00FFu) << 8) >> 8, reinterpret_cast<Shorts>(bytes) >> 8};
  }
  static Shorts products(const Halves& a, const Halves& b) { return a.even * b.even + a.odd * b.odd; }
  static Acc widen(Acc acc, Shorts sums) {
    const Words words = reinterpret_cast<Words>(sums);
    return acc + (reinterpret_cast<Ints>(words << 16) >> 16) + (reinterpret_cast<Ints>(words) >> 16);
  }
};

}  // namespace mime_fast::MIME_FAST_SET
