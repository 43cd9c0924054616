// 4 floats in plain C++ with the vector types of GCC and Clang, for any processor; the interface of vec_avx512.h.
#pragma once

namespace mime_fast {
namespace {

typedef float Floats __attribute__((vector_size(16)));
typedef std::int32_t Ints __attribute__((vector_size(16)));
typedef std::uint32_t Words __attribute__((vector_size(16)));

struct Vec {
  using F = Floats;
  static constexpr int kWidth = 4;
  static constexpr int kLookVectors = 4;  // logits that the vocabulary's kernel looks at together

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

struct DotFloat32 {
  static constexpr int kRows = 4, kVectors = 4, kVectorsOf1 = 4, kVectorsOf3 = 4;
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

struct WordLoads {
  static constexpr int kRows = 4, kVectors = 4, kVectorsOf1 = 4, kVectorsOf3 = 4;
  static constexpr int kParts = 1, kWords = 1, kLeftWords = 1;
  using Left = Words;
  using Right = Words;
  template <int>
  static Left left(const std::uint32_t* p) {
    return Words{*p, *p, *p, *p};
  }
  template <int>
  static Right right(const std::uint32_t* p) {
    Words x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
};

struct DotBfloat16 : WordLoads {
  using Acc = Floats;
  static Acc mad(Acc acc, Left a, Right b) {
    acc = acc + reinterpret_cast<Floats>(a << 16) * reinterpret_cast<Floats>(b << 16);
    return acc + reinterpret_cast<Floats>(a & 0xFFFF0000u) * reinterpret_cast<Floats>(b & 0xFFFF0000u);
  }
};

struct DotInt8 : WordLoads {
  using Acc = Ints;
  static Acc mad(Acc acc, Left a, Right b) {
    for (int shift = 0; shift < 32; shift += 8) {
      const Ints left = reinterpret_cast<Ints>((a >> shift) & 0xFFu);
      acc += left * (reinterpret_cast<Ints>(b << (24 - shift)) >> 24);
    }
    return acc;
  }
  static Acc load_start(const std::int32_t* p) {
    Acc x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static Floats to_float(Acc acc) { return __builtin_convertvector(acc, Floats); }
};

}  // namespace
}  // namespace mime_fast
