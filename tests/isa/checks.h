// What agree.cpp and its parts share.
#pragma once

#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "mime_fast/kernels.h"

namespace mime_fast {

inline int failures = 0;

inline std::vector<float> numbers(std::size_t count, unsigned seed, float deviation = 1.0f) {
  std::mt19937 source(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(source);
  return values;
}

inline void expect(bool good, const char* isa, const std::string& what) {
  if (good) return;
  ++failures;
  std::printf("%s: %s\n", isa, what.c_str());
}

// Kernels of one instruction set beside plain C++'s, on random numbers of odd shapes.
void check_kernels(const Kernels& table, const Kernels& plain);
// Replies of a small model.
void check_engine(Isa isa);

}  // namespace mime_fast
