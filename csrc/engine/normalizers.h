// The log-sum-exps of a dialogue's rows, some of them approximate, and the rows themselves: where an approximate one
// may decide the search otherwise, the dense product takes its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/decode.h"

namespace mime_fast {

class Normalizers {
 public:
  explicit Normalizers(std::size_t size) : size_(size) {}

  // Of a node's row x [C]. spread: how far log_sum_exp may be off; 0: it is exact.
  void keep(std::int32_t node, const float* x, double log_sum_exp, double spread);
  void settle(std::int32_t node, double log_sum_exp);

  const float* row(std::int32_t node) const { return rows_.data() + static_cast<std::size_t>(node) * size_; }
  double log_sum_exp(std::int32_t node) const { return of_[static_cast<std::size_t>(node)].log_sum_exp; }
  double spread(std::int32_t node) const { return of_[static_cast<std::size_t>(node)].spread; }

 private:
  struct Of {
    double log_sum_exp;
    double spread;
  };
  std::size_t size_;
  std::vector<Of> of_;
  std::vector<float> rows_;
};

// A hypothesis in a comparison: its last node and what its sum is multiplied by.
struct Weighed {
  std::int32_t node;
  double weight;
  double value;  // the product
};

// Where two hypotheses may change places within the spread of their log-sum-exps (those that they share count by the
// difference of the weights), the nodes with the widest spreads are added to `nodes`: what is left without them should
// not matter.
void find_doubts(const Tree& tree, const Normalizers& normalizers, const Weighed& one, const Weighed& other,
                 std::vector<std::int32_t>& nodes);

}  // namespace mime_fast
