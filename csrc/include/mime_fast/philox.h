// Counter-based random numbers; docs/random.md states the scheme, mime_fast/reference/philox.py is the definition.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace mime_fast {

constexpr int kPhiloxRounds = 10;
constexpr int kBlockBits = 18;
constexpr int kStepBits = 14;
constexpr int kPurposeBits = 8;
constexpr int kSequenceBits = 24;
constexpr std::size_t kNumbersPerBlock = 4;
constexpr std::size_t kMaxNumbers = kNumbersPerBlock << kBlockBits;  // of one draw

struct PhiloxWords {
  std::uint32_t x[kNumbersPerBlock];
};

struct PhiloxKey {
  std::uint32_t x[2];
};

// What a draw is for and where it is; with the block's number it makes the counter.
struct PhiloxDraw {
  std::uint64_t seed;
  std::uint64_t request_id;
  std::uint32_t purpose;   // below 2^kPurposeBits
  std::uint32_t step;      // below 2^kStepBits
  std::uint32_t sequence;  // below 2^kSequenceBits
};

inline PhiloxWords philox4x32_10(PhiloxWords counter, PhiloxKey key) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t first = std::uint64_t{0xD2511F53} * counter.x[0];
    const std::uint64_t second = std::uint64_t{0xCD9E8D57} * counter.x[2];
    counter = {{static_cast<std::uint32_t>(second >> 32) ^ counter.x[1] ^ key.x[0], static_cast<std::uint32_t>(second),
                static_cast<std::uint32_t>(first >> 32) ^ counter.x[3] ^ key.x[1], static_cast<std::uint32_t>(first)}};
    key = {{key.x[0] + 0x9E3779B9u, key.x[1] + 0xBB67AE85u}};
  }
  return counter;
}

inline PhiloxWords philox_block(const PhiloxDraw& draw, std::uint32_t block) {
  const PhiloxWords counter = {{draw.step << kBlockBits | block, draw.sequence << kPurposeBits | draw.purpose,
                                static_cast<std::uint32_t>(draw.request_id),
                                static_cast<std::uint32_t>(draw.request_id >> 32)}};
  const PhiloxKey key = {{static_cast<std::uint32_t>(draw.seed), static_cast<std::uint32_t>(draw.seed >> 32)}};
  return philox4x32_10(counter, key);
}

// A word as a number inside (0, 1) that float32 represents exactly.
inline double uniform23(std::uint32_t word) { return (static_cast<double>(word >> 9) + 0.5) * 0x1p-23; }

// Two standard normals from two words (Box-Muller).
inline void normal_pair(std::uint32_t word_a, std::uint32_t word_b, double* normals) {
  constexpr double kTwoPi = 6.283185307179586476925286766559;
  const double radius = std::sqrt(-2.0 * std::log(uniform23(word_a)));
  const double angle = kTwoPi * uniform23(word_b);
  normals[0] = radius * std::cos(angle);
  normals[1] = radius * std::sin(angle);
}

// Numbers 0 to size - 1 of one draw; size is at most kMaxNumbers. Real is float or double; the arithmetic is double.
template <typename Real>
void fill_normals(const PhiloxDraw& draw, std::size_t size, Real* out);

}  // namespace mime_fast
