// How fast the inner loop runs from registers: the ceiling that a benchmark names.
#pragma once

#include "body/math.h"

namespace mime_fast {
namespace {

template <typename Dot>
double peak_in(double seconds, std::size_t operations_per_lane) {
  constexpr int kChains = Dot::kRows * Dot::kVectors;
  constexpr std::size_t kRepeats = 20000;
  alignas(64) std::uint32_t words[Vec::kWidth] = {};
  typename Dot::Acc acc[1][kChains];
  std::memset(static_cast<void*>(acc), 0, sizeof acc);
  const auto start = std::chrono::steady_clock::now();
  double best = 0;
  for (double elapsed = 0; elapsed < seconds;) {
    const auto before = std::chrono::steady_clock::now();
    const typename Dot::Right right = Dot::template right<0>(words);
    const typename Dot::Left left = Dot::template left<0>(words);
    for (std::size_t i = 0; i < kRepeats; ++i) {
#pragma GCC unroll 24
      for (int chain = 0; chain < kChains; ++chain) {
        acc[0][chain] = Dot::mad(acc[0][chain], left, right);
      }
    }
    asm volatile("" : : "r"(acc) : "memory");  // the sums are all made
    const auto after = std::chrono::steady_clock::now();
    const double took = std::chrono::duration<double>(after - before).count();
    best = std::max(best, static_cast<double>(kRepeats * kChains * Vec::kWidth * operations_per_lane) / took);
    elapsed = std::chrono::duration<double>(after - start).count();
  }
  return best;
}

double peak(Precision precision, double seconds) {
  switch (precision) {
    case Precision::kFloat32:
      return peak_in<DotFloat32>(seconds, 2);
    case Precision::kBfloat16:
      return peak_in<DotBfloat16>(seconds, 4);
    case Precision::kInt8:
      return peak_in<DotInt8>(seconds, 8);
  }
  return 0;
}

}  // namespace
}  // namespace mime_fast
