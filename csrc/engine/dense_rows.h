// Rows that the screen or a short draw leaves to the dense product, collected until they are worth one: it reads the
// weights once, for one row as for many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/vocabulary.h"

namespace mime_fast {

template <typename Owner>
class DenseRows {
 public:
  struct Row {
    Owner* owner;
    std::int32_t node;                 // of a beam search: whose log-sum-exp must be exact
    std::vector<std::size_t> lives;    // of sampling: which sequences are drawn for
    std::vector<std::int32_t> banned;  // there
    double log_sum_exp;                // with which these sequences, as all of their row, are offered
  };

  explicit DenseRows(const Model& model) : size_(model.config.hidden_size), lookup_(model, {}, false) {}

  bool empty() const { return rows_.empty(); }
  // x: O of the row, [C].
  void add(Row row, const float* x) {
    x_.insert(x_.end(), x, x + size_);
    rows_.push_back(std::move(row));
  }

  // Compute and forget all of them. check() before each product; use(row, log_sum_exp, logits) of each row, with
  // logits [V] where they are kept, or null.
  template <typename Check, typename Use>
  void run(Scratch& scratch, Team& team, KeepLogits keep, const Check& check, const Use& use) {
    for (std::size_t first = 0; first < rows_.size(); first += kMaxVocabRows) {
      check();
      const std::size_t count = std::min(rows_.size() - first, kMaxVocabRows);
      lookup_.clear(0);
      for (std::size_t i = 0; i < count; ++i) lookup_.add({}, -1);
      lookup_.run(scratch, team, x_.data() + first * size_, keep);
      for (std::size_t i = 0; i < count; ++i) use(rows_[first + i], lookup_.log_sum_exp(i), lookup_.logits(i));
    }
    rows_.clear();
    x_.clear();
  }

 private:
  std::size_t size_;
  VocabularyLookup lookup_;
  std::vector<Row> rows_;
  std::vector<float> x_;  // [rows, C]
};

}  // namespace mime_fast
