// The search of one dialogue: greedy, sampling and both beams, as docs/search.md states them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/cut.h"
#include "engine/decode.h"
#include "engine/normalizers.h"
#include "engine/sampling.h"
#include "engine/search_options.h"

namespace mime_fast {

struct Request {
  std::uint64_t seed = 0;
  std::uint64_t request_id = 0;
  std::vector<std::int32_t> prefix;  // words that the reply begins with
};

struct Hypothesis {
  std::int32_t node;   // all but its last word
  std::int32_t token;  // the last one
  float token_logprob;
  float logit;
  double score;
  std::size_t count;
  bool ended;  // by its end-of-sentence
};

// The same with all its words.
struct Reply {
  std::vector<std::int32_t> token_ids;  // with the end-of-sentence
  std::vector<float> token_logprobs;
  float logprob;  // their sum, from the first
  double score;
  bool ended;
};

Reply reply_of(const Tree& tree, const Hypothesis& hypothesis);

// A hypothesis that goes on. Draws that have said the same words so far share their last one's node.
struct Live {
  std::int32_t node;
  float total;  // S: what its tokens were ranked by
  std::size_t sequence;
};

class Search {
 public:
  Search(const SearchOptions& options, Request request, Tree& tree);

  const std::vector<Live>& live() const { return live_; }
  std::size_t step() const { return step_; }

  // The only token that may come next, or -1.
  std::int32_t forced() const;
  // Tokens that may not come next in row `index` besides the suppressed ones, ascending.
  std::vector<std::int32_t> banned(std::size_t index) const;

  // Start mark and tokens of row `index`, ascending, once each: those that a repetition penalty is about.
  std::vector<std::int32_t> said(std::size_t index) const;
  // The banned tokens and, where there is a penalty, those said: all that `best` of `offer_penalised` leaves out.
  std::vector<std::int32_t> set_apart(std::size_t index) const;

  // What the model says of row `index`: its best tokens, or the one that is forced.
  void offer(std::size_t index, const Scored* best, std::size_t count, double log_sum_exp);
  // The same where there is a penalty: the best of all tokens but those set apart, and all logits [V].
  void offer_penalised(std::size_t index, const Scored* best, std::size_t count, const float* logits,
                       double log_sum_exp);
  // The same for sampling: the row's distribution and all its logits.
  void offer_draw(std::size_t index, RowDistribution& row, const float* logits, double log_sum_exp);
  // For sampling with few words. False where others may decide: then nothing is offered.
  bool offer_draw(std::size_t index, const ShortDraws& row, double log_sum_exp);
  // Nodes of a beam search whose log-sum-exps are approximate and may decide the step otherwise. Once they are exact,
  // `renew` makes all log-probs again.
  std::vector<std::int32_t> doubts(const Normalizers& normalizers);
  void renew(const Normalizers& normalizers);
  // Take the step that all rows have been offered for.
  void advance();

  // Hypotheses, best first, once nothing is live.
  const std::vector<Hypothesis>& results() const { return results_; }

 private:
  struct Candidate {
    float total;  // S of the whole hypothesis
    std::uint32_t row;
    std::int32_t token;
    float token_logprob;
    float logit;
  };
  static bool ranks_before(const Candidate& a, const Candidate& b);

  Hypothesis finish(const Candidate& candidate, std::size_t count) const;
  Draw draw(std::size_t index) const;
  Weighed weighed(const Candidate& candidate) const;
  Weighed weighed(const Hypothesis& hypothesis) const;
  void doubt_cut(const Normalizers& normalizers, const std::vector<Candidate>& in, const std::vector<Candidate>& out,
                 std::vector<std::int32_t>& nodes) const;
  void doubt_order(const Normalizers& normalizers, const std::vector<Hypothesis>& ordered, std::size_t count,
                   std::vector<std::int32_t>& nodes) const;
  void doubt_mime(const Normalizers& normalizers, std::vector<std::int32_t>& nodes);
  void doubt_standard(const Normalizers& normalizers, std::vector<std::int32_t>& nodes);
  float total_again(const Normalizers& normalizers, std::int32_t node);
  std::vector<std::int32_t> words(std::size_t index) const;
  void add(std::size_t index, const Scored& token, float value, double log_sum_exp);
  double score(float total, std::size_t count) const;
  void keep(const Hypothesis& hypothesis);
  void go_on(const std::vector<Candidate>& candidates);
  void advance_mime();
  void advance_standard();
  void advance_sequences();

  const SearchOptions& options_;
  Request request_;
  Tree& tree_;
  std::size_t step_ = 0;
  std::vector<Live> live_;
  std::vector<Candidate> offered_;
  std::vector<Hypothesis> results_;     // the pool of finished ones in the standard beam
  std::vector<std::size_t> sequences_;  // of the results, in sampling
};

}  // namespace mime_fast
