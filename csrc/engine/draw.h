// Which random numbers a draw of one token uses (docs/random.md).
#pragma once

#include <cstddef>
#include <cstdint>

namespace mime_fast {

struct Draw {
  std::uint64_t seed;
  std::uint64_t request_id;
  std::size_t step;
  std::size_t sequence;
};

}  // namespace mime_fast
