#include <algorithm>

#include "mime_fast/kernels.h"

namespace mime_fast {
namespace {

void insert_sorted(TopTokens& top, Scored scored) {
  std::size_t place = top.count < top.k ? top.count++ : top.k - 1;
  for (; place > 0 && top.kept[place - 1].logit < scored.logit; --place) top.kept[place] = top.kept[place - 1];
  top.kept[place] = scored;
  if (top.count == top.k) top.threshold = top.kept[top.k - 1].logit;
}

}  // namespace

void prune(TopTokens& top) {
  if (top.k <= kSortedK || top.count < top.k) return;
  std::nth_element(top.kept, top.kept + (top.k - 1), top.kept + top.count, ranks_before);
  top.count = top.k;
  top.threshold = top.kept[top.k - 1].logit;
}

void enter(TopTokens& top, Scored scored) {
  if (top.num_banned != 0 && std::binary_search(top.banned, top.banned + top.num_banned, scored.token)) return;
  if (top.k <= kSortedK) {
    insert_sorted(top, scored);
    return;
  }
  if (top.count == top.capacity) prune(top);
  if (scored.logit > top.threshold) top.kept[top.count++] = scored;
}

}  // namespace mime_fast
