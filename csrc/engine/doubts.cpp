// Which comparisons decide a step of a beam search, and what a changed log-sum-exp changes.

#include <algorithm>
#include <cmath>

#include "engine/search.h"

namespace mime_fast {

Weighed Search::weighed(const Candidate& candidate) const {
  return {live_[candidate.row].node, 1.0, static_cast<double>(candidate.total)};
}

Weighed Search::weighed(const Hypothesis& hypothesis) const {
  return {hypothesis.node, score(1.0f, hypothesis.count), hypothesis.score};
}

std::vector<std::int32_t> Search::doubts(const Normalizers& normalizers) {
  std::sort(offered_.begin(), offered_.end(), ranks_before);
  std::vector<std::int32_t> nodes;
  if (options_.mime) {
    doubt_mime(normalizers, nodes);
  } else {
    doubt_standard(normalizers, nodes);
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

// Each of `in` beside each of `out`.
void Search::doubt_cut(const Normalizers& normalizers, const std::vector<Candidate>& in,
                       const std::vector<Candidate>& out, std::vector<std::int32_t>& nodes) const {
  double most = 0;  // that any two of them may be off
  for (const Live& each : live_) {
    double spread = 0;
    for (std::int32_t node = each.node; node >= 0; node = tree_.node(node).parent) spread += normalizers.spread(node);
    most = std::max(most, 2 * spread);
  }
  for (const Candidate& one : in) {
    for (const Candidate& other : out) {
      if (std::fabs(static_cast<double>(one.total) - static_cast<double>(other.total)) > most) continue;
      find_doubts(tree_, normalizers, weighed(one), weighed(other), nodes);
    }
  }
}

// The order of the first `count`, and what comes next.
void Search::doubt_order(const Normalizers& normalizers, const std::vector<Hypothesis>& ordered, std::size_t count,
                         std::vector<std::int32_t>& nodes) const {
  for (std::size_t i = 0; i < count && i + 1 < ordered.size(); ++i) {
    find_doubts(tree_, normalizers, weighed(ordered[i]), weighed(ordered[i + 1]), nodes);
  }
}

void Search::doubt_mime(const Normalizers& normalizers, std::vector<std::int32_t>& nodes) {
  if (offered_.empty()) return;
  const auto cut = offered_.begin() + static_cast<std::ptrdiff_t>(std::min(offered_.size(), options_.num_beams));
  doubt_cut(normalizers, {offered_.begin(), cut}, {cut, offered_.end()}, nodes);
  const Candidate& best = offered_.front();
  std::vector<Candidate> others;  // that would end it, or go on with it, if they were the best
  std::copy_if(offered_.begin(), cut, std::back_inserter(others),
               [&](const Candidate& each) { return (each.token == kEosId) != (best.token == kEosId); });
  doubt_cut(normalizers, {best}, others, nodes);
  if (best.token != kEosId && step_ + 1 != options_.max_new_tokens) return;
  std::vector<Hypothesis> results;
  for (auto each = offered_.begin(); each != cut; ++each) results.push_back(finish(*each, step_ + 1));
  doubt_order(normalizers, results, options_.num_return_sequences, nodes);
}

void Search::doubt_standard(const Normalizers& normalizers, std::vector<std::int32_t>& nodes) {
  const std::size_t width = options_.num_beams;
  std::vector<Candidate> going, rest, ended, front, back;
  for (std::size_t place = 0; place < offered_.size(); ++place) {
    const Candidate& each = offered_[place];
    (place < width ? front : back).push_back(each);
    if (each.token != kEosId) {
      (going.size() < width ? going : rest).push_back(each);
    } else {
      ended.push_back(each);
    }
  }
  doubt_cut(normalizers, going, rest, nodes);
  for (std::size_t place = 0; place < offered_.size(); ++place) {
    if (offered_[place].token == kEosId) doubt_cut(normalizers, {offered_[place]}, place < width ? back : front, nodes);
  }
  if (!nodes.empty()) return;  // what follows depends on it
  std::vector<Hypothesis> pool = results_;
  for (const Candidate& each : front) {
    if (each.token == kEosId) pool.push_back(finish(each, step_ + 1));
  }
  const bool last = going.empty() || step_ + 1 == options_.max_new_tokens;
  if (last) {
    for (const Candidate& each : going) pool.push_back(finish(each, step_ + 1));
  }
  std::stable_sort(pool.begin(), pool.end(),
                   [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  if (pool.size() > width) {
    doubt_order(normalizers, {pool.begin() + static_cast<std::ptrdiff_t>(width - 1), pool.end()}, 1, nodes);
    pool.resize(width);
  }
  bool over = last;
  if (!last && pool.size() == width) {
    const Hypothesis best = finish(going.front(), step_ + 1);
    find_doubts(tree_, normalizers, weighed(pool.back()), weighed(best), nodes);
    over = pool.back().score >= best.score;
  }
  if (over) doubt_order(normalizers, pool, options_.num_return_sequences, nodes);
}

// S of the words up to `node`, whose log-probs are made again.
float Search::total_again(const Normalizers& normalizers, std::int32_t node) {
  const Node& word = tree_.node(node);
  if (word.parent < 0) return 0.0f;
  const float before = total_again(normalizers, word.parent);
  const float logprob = token_logprob(word.logit, normalizers.log_sum_exp(word.parent));
  tree_.set_logprob(node, logprob);
  return before + logprob;
}

void Search::renew(const Normalizers& normalizers) {
  for (Live& each : live_) each.total = total_again(normalizers, each.node);
  for (Candidate& each : offered_) {
    const Live& from = live_[each.row];
    each.token_logprob = token_logprob(each.logit, normalizers.log_sum_exp(from.node));
    each.total = from.total + each.token_logprob;
  }
  for (Hypothesis& each : results_) {
    const float before = total_again(normalizers, each.node);
    each.token_logprob = token_logprob(each.logit, normalizers.log_sum_exp(each.node));
    each.score = score(before + each.token_logprob, each.count);
  }
  std::stable_sort(results_.begin(), results_.end(),
                   [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
}

}  // namespace mime_fast
