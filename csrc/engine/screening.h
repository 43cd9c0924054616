// Rows of the vocabulary projection by the int8 screen: float32's best words, proven, and a log-sum-exp that is exact
// over them and approximate in the tail (docs/screening.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/scratch.h"
#include "engine/team.h"
#include "mime_fast/screen.h"

namespace mime_fast {

// Log of the sum of all chunks, from the first on: the same order whoever computed them.
double combine(const PartialSum* partial, std::size_t chunks);

// What is asked of the rows.
struct ScreenAsk {
  const std::uint64_t* allowed;                          // [blocks]
  const std::vector<std::vector<std::int32_t>>* banned;  // [rows], ascending
  const std::vector<std::int32_t>* targets;              // [rows], or -1
  std::size_t k;                                         // best words of a row
};

// What was found of a row.
struct ScreenedFind {
  bool found = false;        // otherwise it must be computed densely
  std::vector<Scored> best;  // by ranks_before, with float32's logits; or the target
  double log_sum_exp = 0;
  double error = 0;   // proven: how far float32's log_sum_exp may be from it
  double spread = 0;  // measured: how far it is off at most, but in one row of some thousands
};

class Screening {
 public:
  explicit Screening(const Model& model) : model_(model) {}

  // For up to kSortedK best words.
  // x [rows, C].
  void run(Scratch& scratch, Team& team, const float* x, std::size_t rows, const ScreenAsk& ask);
  const ScreenedFind& find(std::size_t row) const { return finds_[row]; }
  // Rows that took a second pass.
  std::size_t scanned_again() const { return places_.size(); }

 private:
  // Rows that a pass goes over together, and what it finds of each.
  struct Pass {
    std::vector<std::size_t> rows;  // of x
    AlignedVector<std::uint32_t> words;
    std::vector<float> scale;
    std::vector<ScreenedRow> screened;
    std::vector<float> threshold;  // that each begins with
    std::vector<TopTokens> lower;  // [parts, rows]
    std::vector<Survivors> survivors;
    std::vector<Scored> lower_kept, survivors_kept;
    std::vector<PartialSum> partial;
  };

  void prepare(Scratch& scratch, const float* x, std::size_t rows);
  void scan(Scratch& scratch, Team& team, const ScreenAsk& ask, Pass& pass);
  void scan_again(Scratch& scratch, Team& team, const ScreenAsk& ask);
  float threshold_of(std::size_t place);
  bool has_lost(std::size_t place) const;
  bool collect(std::size_t place, float threshold);
  void finish(Scratch& scratch, const float* x, const ScreenAsk& ask, std::size_t place);
  void compute(Scratch& scratch, const float* x, std::size_t first);
  bool resolve(Scratch& scratch, const float* x, std::size_t place, double coarse);
  bool normalize(Scratch& scratch, std::size_t place, double coarse, ScreenedFind& find);

  const Model& model_;
  std::size_t k_ = 0;
  std::size_t parts_ = 0;
  Pass first_, again_;
  std::vector<std::size_t> places_;   // in first_, of the rows of again_
  std::vector<float> largest_error_;  // of any word, for each row of first_
  std::vector<Scored> best_, left_;   // of the row at hand
  std::vector<float> exact_, approximate_, powers_;
  Buffer scratch_;
  std::vector<ScreenedFind> finds_;
};

// Build the model's screen out of W [V, C] and b [V], and keep it if it pays on rows such as the model's.
void add_screen(Model& model, const float* weight, const float* bias);

}  // namespace mime_fast
