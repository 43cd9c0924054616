// The Gumbel numbers of one row (docs/random.md).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/draw.h"
#include "mime_fast/philox.h"

namespace mime_fast {

class Gumbel {
 public:
  explicit Gumbel(const Draw& draw) {
    constexpr std::uint32_t kTokenPurpose = 4;
    counter_.seed = draw.seed;
    counter_.request_id = draw.request_id;
    counter_.purpose = kTokenPurpose;
    counter_.step = static_cast<std::uint32_t>(draw.step);
    counter_.sequence = static_cast<std::uint32_t>(draw.sequence);
  }
  // Fastest for tokens in ascending order.
  double uniform(std::int32_t token) {
    const auto number = static_cast<std::uint32_t>(token);
    if (number / kNumbersPerBlock != block_) {
      block_ = number / kNumbersPerBlock;
      words_ = philox_block(counter_, block_);
    }
    return uniform23(words_.x[number % kNumbersPerBlock]);
  }
  double operator()(std::int32_t token) { return -std::log(-std::log(uniform(token))); }

 private:
  PhiloxDraw counter_{};
  std::uint32_t block_ = std::numeric_limits<std::uint32_t>::max();
  PhiloxWords words_{};
};

}  // namespace mime_fast
