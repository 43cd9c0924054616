#include "engine/search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/cut.h"

namespace mime_fast {

Search::Search(const SearchOptions& options, Request request, Tree& tree)
    : options_(options), request_(std::move(request)), tree_(tree) {
  const std::size_t rows = options.beams() ? 1 : options.num_return_sequences;
  for (std::size_t sequence = 0; sequence < rows; ++sequence) live_.push_back({0, 0.0f, sequence});
}

std::int32_t Search::forced() const { return step_ < request_.prefix.size() ? request_.prefix[step_] : -1; }

std::vector<std::int32_t> Search::words(std::size_t index) const {
  std::vector<std::int32_t> words(step_);
  std::int32_t node = live_[index].node;
  for (std::size_t i = step_; i-- > 0; node = tree_.node(node).parent) words[i] = tree_.node(node).token;
  return words;
}

std::vector<std::int32_t> Search::said(std::size_t index) const {
  std::vector<std::int32_t> tokens = words(index);
  tokens.push_back(kSosId);
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

std::vector<std::int32_t> Search::set_apart(std::size_t index) const {
  std::vector<std::int32_t> tokens = banned(index);
  if (options_.penalises()) {
    const std::vector<std::int32_t> more = said(index);
    tokens.insert(tokens.end(), more.begin(), more.end());
    std::sort(tokens.begin(), tokens.end());
  }
  return tokens;
}

std::vector<std::int32_t> Search::banned(std::size_t index) const {
  std::vector<std::int32_t> tokens;
  const std::size_t n = options_.no_repeat_ngram_size;
  if (n > 0 && step_ + 1 >= n) {
    const std::vector<std::int32_t> words = this->words(index);
    const auto tail = words.end() - static_cast<std::ptrdiff_t>(n - 1);
    for (std::size_t end = n - 1; end < step_; ++end) {
      const auto last = words.begin() + static_cast<std::ptrdiff_t>(end);
      if (std::equal(last - static_cast<std::ptrdiff_t>(n - 1), last, tail)) tokens.push_back(*last);
    }
  }
  if (step_ < options_.min_new_tokens) tokens.push_back(kEosId);
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

bool Search::ranks_before(const Candidate& a, const Candidate& b) {
  if (a.total != b.total) return a.total > b.total;
  return a.row != b.row ? a.row < b.row : a.token < b.token;
}

// value: what the hypothesis' sum grows by.
void Search::add(std::size_t index, const Scored& token, float value, double log_sum_exp) {
  const float total = live_[index].total + value;
  if (!(total > -std::numeric_limits<float>::infinity())) return;
  offered_.push_back(
      {total, static_cast<std::uint32_t>(index), token.token, token_logprob(token.logit, log_sum_exp), token.logit});
}

void Search::offer(std::size_t index, const Scored* best, std::size_t count, double log_sum_exp) {
  for (std::size_t i = 0; i < count; ++i) add(index, best[i], token_logprob(best[i].logit, log_sum_exp), log_sum_exp);
  const std::size_t wanted = options_.candidates();
  if (options_.beams() && offered_.size() > 4 * wanted + 1024) {
    std::nth_element(offered_.begin(), offered_.begin() + static_cast<std::ptrdiff_t>(wanted - 1), offered_.end(),
                     ranks_before);
    offered_.resize(wanted);
  }
}

void Search::offer_penalised(std::size_t index, const Scored* best, std::size_t count, const float* logits,
                             double log_sum_exp) {
  std::vector<Scored> again;  // tokens that have been said and may come
  const std::vector<std::int32_t> banned = this->banned(index);
  for (const std::int32_t token : said(index)) {
    const bool may_come = !options_.suppresses(token) && !std::binary_search(banned.begin(), banned.end(), token);
    if (may_come) again.push_back({logits[token], token});
  }
  if (options_.beams()) {
    offer(index, best, count, log_sum_exp);
    for (const Scored& token : again) {
      add(index, token, options_.penalised(token_logprob(token.logit, log_sum_exp)), log_sum_exp);
    }
    return;
  }
  Scored chosen = count > 0 ? best[0] : Scored{-std::numeric_limits<float>::infinity(), -1};
  float value = chosen.logit;
  for (const Scored& token : again) {
    const float other = options_.penalised(token.logit);
    if (other < value || (other == value && chosen.token >= 0 && token.token > chosen.token)) continue;
    chosen = token;
    value = other;
  }
  if (chosen.token >= 0) offer(index, &chosen, 1, log_sum_exp);
}

void Search::offer_draw(std::size_t index, RowDistribution& row, const float* logits, double log_sum_exp) {
  const std::int32_t token = row(draw(index));
  if (token < 0) return;
  const Scored chosen{logits[token], token};
  offer(index, &chosen, 1, log_sum_exp);
}

bool Search::offer_draw(std::size_t index, const ShortDraws& row, double log_sum_exp) {
  const Scored* chosen = row(draw(index));
  if (chosen == nullptr) return false;
  offer(index, chosen, 1, log_sum_exp);
  return true;
}

Draw Search::draw(std::size_t index) const {
  return {request_.seed, request_.request_id, step_, live_[index].sequence};
}

void Search::advance() {
  std::sort(offered_.begin(), offered_.end(), ranks_before);
  ++step_;
  if (options_.mime) {
    advance_mime();
  } else if (options_.num_beams > 1) {
    advance_standard();
  } else {
    advance_sequences();
  }
  offered_.clear();
}

double Search::score(float total, std::size_t count) const {
  const double penalty = options_.mime ? 0.0 : options_.length_penalty;
  return static_cast<double>(total) / std::pow(static_cast<double>(count), penalty);
}

Hypothesis Search::finish(const Candidate& candidate, std::size_t count) const {
  return {live_[candidate.row].node,     candidate.token, candidate.token_logprob,  candidate.logit,
          score(candidate.total, count), count,           candidate.token == kEosId};
}

void Search::go_on(const std::vector<Candidate>& candidates) {
  std::vector<Live> next;
  next.reserve(candidates.size());
  for (const Candidate& candidate : candidates) {
    const Live& from = live_[candidate.row];
    const auto is_same = [&](const Live& other) {
      const Node& node = tree_.node(other.node);
      return node.parent == from.node && node.token == candidate.token;
    };
    const auto same = options_.do_sample ? std::find_if(next.begin(), next.end(), is_same) : next.end();
    const std::int32_t node = same != next.end()
                                  ? same->node
                                  : tree_.add(from.node, candidate.token, candidate.token_logprob, candidate.logit);
    next.push_back({node, candidate.total, from.sequence});
  }
  live_ = std::move(next);
}

// The K best candidates are the entries, wherever their end-of-sentence is; over when the best one ends.
void Search::advance_mime() {
  offered_.resize(std::min(offered_.size(), options_.num_beams));
  const bool over = offered_.empty() || offered_.front().token == kEosId || step_ == options_.max_new_tokens;
  if (!over) {
    go_on(offered_);
    return;
  }
  for (const Candidate& candidate : offered_) {
    if (results_.size() < options_.num_return_sequences) results_.push_back(finish(candidate, step_));
  }
  live_.clear();
}

// Behind all that score the same or more; the last one falls out of a pool above K.
void Search::keep(const Hypothesis& hypothesis) {
  const auto behind = std::upper_bound(results_.begin(), results_.end(), hypothesis,
                                       [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  results_.insert(behind, hypothesis);
  if (results_.size() > options_.num_beams) results_.pop_back();
}

void Search::advance_standard() {
  const std::size_t width = options_.num_beams;
  offered_.resize(std::min(offered_.size(), 2 * width));
  std::vector<Candidate> going;
  for (std::size_t place = 0; place < offered_.size(); ++place) {
    if (offered_[place].token != kEosId) {
      if (going.size() < width) going.push_back(offered_[place]);
    } else if (place < width) {
      keep(finish(offered_[place], step_));
    }
  }
  bool over = going.empty();
  if (!over && step_ == options_.max_new_tokens) {
    for (const Candidate& candidate : going) keep(finish(candidate, step_));
    over = true;
  }
  if (!over && results_.size() == width) over = results_.back().score >= score(going.front().total, step_);
  if (!over) {
    go_on(going);
    return;
  }
  live_.clear();
  if (results_.size() > options_.num_return_sequences) results_.resize(options_.num_return_sequences);
}

// Each row goes its own way; one that was offered nothing is dropped. Results are in the order of the sequences.
void Search::advance_sequences() {
  std::sort(offered_.begin(), offered_.end(), [](const Candidate& a, const Candidate& b) { return a.row < b.row; });
  std::vector<Candidate> going;
  for (const Candidate& candidate : offered_) {
    if (candidate.token != kEosId && step_ < options_.max_new_tokens) {
      going.push_back(candidate);
      continue;
    }
    const std::size_t sequence = live_[candidate.row].sequence;
    const auto place = std::lower_bound(sequences_.begin(), sequences_.end(), sequence) - sequences_.begin();
    sequences_.insert(sequences_.begin() + place, sequence);
    results_.insert(results_.begin() + place, finish(candidate, step_));
  }
  go_on(going);
}

Reply reply_of(const Tree& tree, const Hypothesis& hypothesis) {
  Reply reply{std::vector<std::int32_t>(hypothesis.count), std::vector<float>(hypothesis.count), 0.0f, hypothesis.score,
              hypothesis.ended};
  reply.token_ids.back() = hypothesis.token;
  reply.token_logprobs.back() = hypothesis.token_logprob;
  std::int32_t index = hypothesis.node;
  for (std::size_t i = hypothesis.count - 1; i-- > 0; index = tree.node(index).parent) {
    reply.token_ids[i] = tree.node(index).token;
    reply.token_logprobs[i] = tree.node(index).logprob;
  }
  for (const float logprob : reply.token_logprobs) reply.logprob += logprob;
  return reply;
}

}  // namespace mime_fast
