#include "engine/cut.h"

#include <algorithm>

namespace mime_fast {

bool is_clear(const Scored* kept, std::size_t count, std::size_t k, const RowSums& sums) {
  if (count <= k) return true;
  float lowest = kept[0].logit;
  for (std::size_t i = 1; i < k; ++i) lowest = std::min(lowest, kept[i].logit);
  return sums.of(lowest) > sums.of(kept[k].logit);
}

void cut_by_sums(std::vector<Scored>& tokens, std::size_t k, const RowSums& sums) {
  if (tokens.size() <= k) return;
  std::nth_element(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(k - 1), tokens.end(),
                   [&](const Scored& a, const Scored& b) {
                     const float one = sums.of(a.logit), other = sums.of(b.logit);
                     return one != other ? one > other : a.token < b.token;
                   });
  tokens.resize(k);
}

}  // namespace mime_fast
