// A draw from one row's distribution by the Gumbel-max of docs/random.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/search_options.h"
#include "mime_fast/kernels.h"

namespace mime_fast {

struct Draw {
  const SearchOptions& options;
  const Kernels& kernels;
  std::uint64_t seed;
  std::uint64_t request_id;
  std::size_t step;
  std::size_t sequence;
};

// The token, or -1 where none may come; the penalty of those said, temperature, top_k and top_p as docs/search.md
// states them, the last three in float64.
std::int32_t sample_token(const Draw& draw, const float* logits, std::size_t size, double log_sum_exp,
                          const std::vector<std::int32_t>& banned, const std::vector<std::int32_t>& said);

}  // namespace mime_fast
