// How fast the inner loop runs from registers: the ceiling that a benchmark names.
#pragma once

#include "body/tile.h"

namespace mime_fast::MIME_FAST_SET {

// Seconds of so many steps of a tile of so many sums. To the compiler the operand is another one for each product, so
// that none can be left out or made once for all.
template <typename Dot, int... kSum>
double seconds_of_steps(std::size_t steps, std::integer_sequence<int, kSum...>) {
  alignas(64) std::uint32_t words[4 * kPanelWidth] = {};
  asm volatile("" : "+m"(words));
  typename Dot::Acc acc[sizeof...(kSum)] = {};
  typename Dot::Left left = Dot::template left<0>(words);
  const typename Dot::Right right = Dot::template right<0>(words);
  const auto before = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < steps; ++i) {
    ((hide(left), acc[kSum] = Dot::mad(acc[kSum], left, right)), ...);
  }
  (hide(acc[kSum]), ...);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
}

template <typename Dot>
double peak_in(double seconds, std::size_t inputs_per_word) {
  constexpr std::size_t kSums = Dot::kTileRows * Dot::kVectors, kSteps = 20000;
  const std::size_t products = inputs_per_word * Dot::kWords / Dot::kParts * Vec::kWidth * kSums * kSteps;
  const auto start = std::chrono::steady_clock::now();
  double best = 0;
  for (double elapsed = 0; elapsed < seconds;) {
    const double took = seconds_of_steps<Dot>(kSteps, std::make_integer_sequence<int, kSums>{});
    best = std::max(best, 2.0 * static_cast<double>(products) / took);
    elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return best;
}

double peak(Precision precision, double seconds) {
  const std::size_t inputs = inputs_per_word(precision);
  switch (precision) {
    case Precision::kFloat32:
      return peak_in<DotFloat32>(seconds, inputs);
    case Precision::kBfloat16:
      return peak_in<DotBfloat16>(seconds, inputs);
    case Precision::kInt8:
      return peak_in<DotInt8>(seconds, inputs);
  }
  return 0;
}

}  // namespace mime_fast::MIME_FAST_SET
