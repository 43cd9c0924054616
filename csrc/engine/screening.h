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

 private:
  void prepare(Scratch& scratch, const float* x, std::size_t rows);
  void pass(Scratch& scratch, Team& team, const ScreenAsk& ask);
  void scan(Scratch& scratch, Team& team, const ScreenAsk& ask, std::size_t first, std::size_t count);
  float threshold_of(std::size_t place);
  bool has_lost(std::size_t place) const;
  void scan_again(Scratch& scratch, Team& team, const ScreenAsk& ask, std::size_t place, float threshold);
  bool collect(std::size_t place, float threshold);
  void finish(Scratch& scratch, const float* x, const ScreenAsk& ask, std::size_t place);
  void compute(Scratch& scratch, const float* x, std::size_t first);
  bool resolve(Scratch& scratch, const float* x, std::size_t place, double coarse);
  bool normalize(Scratch& scratch, std::size_t place, double coarse, ScreenedFind& find);

  const Model& model_;
  std::size_t k_ = 0;
  std::size_t parts_ = 0;
  std::vector<std::size_t> which_;  // rows that are screened
  AlignedVector<std::uint32_t> words_;
  std::vector<float> scale_;
  std::vector<ScreenedRow> screened_;
  std::vector<float> largest_error_;  // of any word, for each of them
  std::vector<TopTokens> lower_;      // [parts, screened]
  std::vector<Survivors> survivors_;
  std::vector<Scored> lower_kept_, survivors_kept_;
  std::vector<PartialSum> partial_;
  std::vector<Scored> best_, left_;  // of the row at hand
  std::vector<float> exact_, approximate_, powers_;
  Buffer scratch_;
  std::vector<ScreenedFind> finds_;
};

// Build the model's screen out of W [V, C] and b [V], and keep it if it leaves few words on rows such as the model's.
void add_screen(Model& model, const float* weight, const float* bias);

}  // namespace mime_fast
