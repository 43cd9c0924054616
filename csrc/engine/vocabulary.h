// The projection of decoded rows to the vocabulary, by one thread or by a team that splits the vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/cut.h"
#include "engine/scratch.h"
#include "engine/screening.h"
#include "engine/team.h"

namespace mime_fast {

// Which rows' logits are kept: those of all, or only of rows that go through the dense product.
enum class KeepLogits { kNone, kWhereDense, kAll };

// What is wanted of some rows, and what was found. At most kMaxVocabRows.
class VocabularyLookup {
 public:
  // suppressed: [V], tokens that never enter, or empty.
  VocabularyLookup(const Model& model, const std::vector<std::uint8_t>& suppressed, bool screened = true);

  // Begin again with no rows; each will have its `k` best tokens, by its sums or else only by the logits.
  void clear(std::size_t k, bool by_sums = false) {
    k_ = k;
    by_sums_ = by_sums;
    banned_.clear();
    targets_.clear();
    before_.clear();
  }
  // banned: ascending. target: -1, or the one token that is wanted, which then is found whatever is banned. before: the
  // log-prob of the hypothesis, for its sums.
  void add(std::vector<std::int32_t> banned, std::int32_t target, float before = 0.0f);
  std::size_t rows() const { return targets_.size(); }

  // x: O of the rows, [rows, C].
  void run(Scratch& scratch, Team& team, const float* x, KeepLogits keep);

  // The best tokens of a row in no particular order, or its target.
  const Scored* best(std::size_t row) const { return tops_[row].kept; }
  std::size_t count(std::size_t row) const { return tops_[row].count; }
  double log_sum_exp(std::size_t row) const { return log_sum_exp_[row]; }
  // [V], or null where none were kept.
  const float* logits(std::size_t row) const;
  // Whether a row's log-sum-exp is the screen's, and by how much it may then be off.
  bool screened(std::size_t row) const { return ran_screened_ && screening_->find(row).found; }
  double proven_error(std::size_t row) const { return screened(row) ? screening_->find(row).error : 0.0; }
  double spread(std::size_t row) const { return screened(row) ? screening_->find(row).spread : 0.0; }
  const std::vector<std::int32_t>& banned(std::size_t row) const { return banned_[row]; }

 private:
  std::size_t wanted() const;
  void run_screened(Scratch& scratch, Team& team, const float* x, KeepLogits keep);
  void run_rest(Scratch& scratch, Team& team, const float* x, KeepLogits keep);
  void prepare_tops(std::size_t parts);
  void look(Scratch& scratch, Team& team, const Rows& x, std::size_t parts, float* logits);
  void merge(std::size_t parts);
  void merge_row(std::size_t row, std::size_t parts);
  void cut_row(const Scratch& scratch, std::size_t row, const Rows& x);
  void choose_of_all(const Scratch& scratch, std::size_t row, const Rows& x, const RowSums& sums);

  const Model& model_;
  std::vector<std::uint64_t> allowed_;
  std::size_t k_ = 0;
  bool by_sums_ = false;
  std::vector<std::vector<std::int32_t>> banned_;
  std::vector<std::int32_t> targets_;
  std::vector<float> before_;
  std::vector<TopTokens> tops_;  // [parts, rows]
  std::vector<Scored> kept_, merged_;
  std::vector<float> target_logits_;
  std::vector<PartialSum> partial_;
  std::vector<double> log_sum_exp_;
  AlignedVector<float> logits_, again_;
  KeepLogits kept_logits_ = KeepLogits::kNone;
  bool ran_screened_ = false;
  std::unique_ptr<Screening> screening_;
  std::unique_ptr<VocabularyLookup> rest_;  // rows that the screen leaves to the dense product
  std::vector<std::size_t> left_;           // which these are
  AlignedVector<float> left_x_;
};

}  // namespace mime_fast
