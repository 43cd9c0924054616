#include "engine/normalizers.h"

#include <algorithm>
#include <cmath>

namespace mime_fast {

void Normalizers::keep(std::int32_t node, const float* x, double log_sum_exp, double spread) {
  const auto place = static_cast<std::size_t>(node);
  if (of_.size() <= place) {
    of_.resize(place + 1);
    rows_.resize((place + 1) * size_);
  }
  of_[place] = {log_sum_exp, spread};
  std::copy_n(x, size_, rows_.data() + place * size_);
}

void Normalizers::settle(std::int32_t node, double log_sum_exp) {
  of_[static_cast<std::size_t>(node)] = {log_sum_exp, 0.0};
}

void find_doubts(const Tree& tree, const Normalizers& normalizers, const Weighed& one, const Weighed& other,
                 std::vector<std::int32_t>& nodes) {
  struct Part {
    double square;
    std::int32_t node;
  };
  std::vector<Part> parts;
  double left = 0;  // square of the spread of the comparison, as of independent errors
  const auto count = [&](std::int32_t node, double weight) {
    const double spread = weight * normalizers.spread(node);
    left += spread * spread;
    if (spread != 0) parts.push_back({spread * spread, node});
  };
  // A parent's index is lower than its children's: the higher of two nodes cannot be shared.
  std::int32_t a = one.node, b = other.node;
  while (a != b) {
    const bool first = a > b;
    std::int32_t& node = first ? a : b;
    count(node, first ? one.weight : other.weight);
    node = tree.node(node).parent;
  }
  for (; a >= 0; a = tree.node(a).parent) count(a, one.weight - other.weight);
  const double apart = std::fabs(one.value - other.value);
  if (parts.empty() || apart * apart > left) return;
  std::sort(parts.begin(), parts.end(),
            [](const Part& x, const Part& y) { return x.square != y.square ? x.square > y.square : x.node < y.node; });
  for (const Part& part : parts) {
    nodes.push_back(part.node);
    left -= part.square;
    if (4 * left < apart * apart) break;  // the difference will have changed by then, but hardly to its half
  }
}

}  // namespace mime_fast
