#include "engine/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

#include "engine/gumbel.h"

namespace mime_fast {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr double kMostTopP = 0.999;          // above it the list that surely reaches it is the whole row
constexpr double kBoundMargin = 1.0 + 1e-4;  // of the float32 exponentials that only rule tokens out

bool ranks_before(const Choice& a, const Choice& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// log_softmax [V], or penalised logits; what may not come, and what top_k leaves out, at -inf.
std::vector<float> kept_logprobs(const SearchOptions& options, const float* logits, std::size_t size,
                                 double log_sum_exp, const std::vector<std::int32_t>& banned,
                                 const std::vector<std::int32_t>& said) {
  std::vector<float> logprobs(logits, logits + size);
  if (options.penalises()) {
    for (const std::int32_t token : said) logprobs[static_cast<std::size_t>(token)] = options.penalised(logits[token]);
  } else {
    for (float& logprob : logprobs) logprob = static_cast<float>(logprob - log_sum_exp);
  }
  for (const std::int32_t token : banned) logprobs[static_cast<std::size_t>(token)] = kNever;
  if (!options.suppressed.empty()) {
    for (std::size_t i = 0; i < size; ++i) logprobs[i] = options.suppressed[i] != 0 ? kNever : logprobs[i];
  }
  if (options.top_k > 0 && options.top_k < size) {
    std::vector<float> order = logprobs;
    const auto last = order.begin() + static_cast<std::ptrdiff_t>(options.top_k - 1);
    std::nth_element(order.begin(), last, order.end(), std::greater<>());
    for (float& logprob : logprobs) logprob = logprob < *last ? kNever : logprob;
  }
  return logprobs;
}

std::vector<Choice> choices_above(const std::vector<float>& logprobs, double temperature, double least) {
  std::vector<Choice> choices;
  for (std::size_t i = 0; i < logprobs.size(); ++i) {
    const double logit = static_cast<double>(logprobs[i]) / temperature;
    if (logprobs[i] > kNever && logit >= least) choices.push_back({logit, static_cast<std::int32_t>(i)});
  }
  return choices;
}

// The shortest run of most probable tokens whose probabilities reach top_p, by ascending token.
std::vector<Choice> keep_top_p(const std::vector<float>& logprobs, double temperature, double top_p) {
  const double best = static_cast<double>(*std::max_element(logprobs.begin(), logprobs.end())) / temperature;
  double total = 0;
  for (const float logprob : logprobs) {
    if (logprob > kNever) total += std::exp(static_cast<double>(logprob) / temperature - best);
  }
  // Most of the probability lies near the best token: sort what lies there, and look further down only if need be.
  for (double below = 3.0;; below *= 2.0) {
    const bool all = below > 1e6;
    std::vector<Choice> choices =
        choices_above(logprobs, temperature, all ? -std::numeric_limits<double>::infinity() : best - below);
    std::sort(choices.begin(), choices.end(), ranks_before);
    double before = 0;
    std::size_t kept = 0;
    while (kept < choices.size() && before < top_p) before += std::exp(choices[kept++].logit - best) / total;
    if (before < top_p && !all) continue;
    choices.resize(kept);
    std::sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) { return a.token < b.token; });
    return choices;
  }
}

// exp((logprob - best) / temperature) in float32, within kBoundMargin; empty where float32 has no such temperature.
std::vector<float> fast_powers(const SearchOptions& options, const Kernels& kernels, const std::vector<float>& logprobs,
                               float best) {
  const auto inverse = static_cast<float>(1.0 / options.temperature);
  if (!(inverse >= std::numeric_limits<float>::min() && inverse < std::numeric_limits<float>::max() / 1e4f)) return {};
  std::vector<float> powers(logprobs.size());
  kernels.exponentials(logprobs.data(), logprobs.size(), best, inverse, powers.data());
  return powers;
}

// The least power so that those from it on surely reach top_p, or a little less than that; by the leading bits of a
// float32, which sort as the numbers do.
float least_power(const std::vector<float>& powers, double top_p, double& total) {
  constexpr std::uint32_t kBits = 20, kBuckets = 1024;  // an eighth of a power of two each, up to 2
  double mass[kBuckets] = {};
  for (const float power : powers) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &power, sizeof bits);
    mass[std::min(bits >> kBits, kBuckets - 1)] += power;
  }
  total = std::accumulate(mass, mass + kBuckets, 0.0);
  std::uint32_t bucket = kBuckets;
  for (double listed = 0; bucket > 0 && listed < top_p * total * kBoundMargin;) listed += mass[--bucket];
  const std::uint32_t bits = bucket << kBits;
  float least = 0;
  std::memcpy(&least, &bits, sizeof least);
  return least;
}

// arg max of logit + Gumbel number; the first of equal sums wins.
std::int32_t gumbel_max(const Draw& draw, const std::vector<Choice>& choices) {
  Gumbel gumbel(draw);
  std::int32_t chosen = -1;
  double best = 0;
  for (const Choice& choice : choices) {
    const double sum = choice.logit + gumbel(choice.token);
    if (chosen >= 0 && !(sum > best)) continue;
    best = sum;
    chosen = choice.token;
  }
  return chosen;
}

}  // namespace

RowDistribution::RowDistribution(const SearchOptions& options, const Kernels& kernels, const float* logits,
                                 std::size_t size, double log_sum_exp, const std::vector<std::int32_t>& banned,
                                 const std::vector<std::int32_t>& said)
    : options_(options),
      kernels_(kernels),
      logprobs_(kept_logprobs(options, logits, size, log_sum_exp, banned, said)) {}

std::int32_t RowDistribution::operator()(const Draw& draw) {
  if (options_.top_p < 1.0) {
    if (!shortened_) shorten();
    const Scored* word = short_ ? (*short_)(draw) : nullptr;
    return word != nullptr ? word->token : gumbel_max(draw, choices());
  }
  if (options_.top_k > 0 && options_.top_k < logprobs_.size()) return gumbel_max(draw, choices());
  return draw_of_all(draw);
}

// The words that may be in top_p by float32 exponentials: a draw from them takes a tenth of the time of float64's.
void RowDistribution::shorten() {
  shortened_ = true;
  if (!temperature_is_plain(options_.temperature) || options_.top_p > kMostTopP) return;
  const float best = *std::max_element(logprobs_.begin(), logprobs_.end());
  if (best == kNever) return;
  const std::vector<float> powers = fast_powers(options_, kernels_, logprobs_, best);
  if (powers.empty()) return;
  double total = 0, listed = 0;
  const float least = least_power(powers, options_.top_p, total);
  for (std::size_t token = 0; token < powers.size(); ++token) {
    if (powers[token] < least || logprobs_[token] == kNever) continue;
    words_.push_back({logprobs_[token], static_cast<std::int32_t>(token)});
    listed += powers[token];
  }
  std::sort(words_.begin(), words_.end(), [](const Scored& a, const Scored& b) { return ranks_before(a, b); });
  const double rest_least = std::max(0.0, total / kBoundMargin - listed * kBoundMargin);
  const double rest_most = total * kBoundMargin - listed / kBoundMargin;
  short_.emplace(Shortlist{words_.data(), words_.size(), false, rest_least, rest_most, 0}, options_);
}

const std::vector<Choice>& RowDistribution::choices() {
  if (!choices_) {
    choices_ = options_.top_p < 1.0
                   ? keep_top_p(logprobs_, options_.temperature, options_.top_p)
                   : choices_above(logprobs_, options_.temperature, -std::numeric_limits<double>::infinity());
  }
  return *choices_;
}

// arg max over a whole vocabulary. -ln(-ln u) <= -ln(1 - u), so a token can only win if 1 - u <= exp(logit - best
// sum): most are ruled out without a logarithm.
std::int32_t RowDistribution::draw_of_all(const Draw& draw) {
  const auto top = std::max_element(logprobs_.begin(), logprobs_.end());
  if (*top == kNever) return -1;
  const double temperature = options_.temperature;
  const double top_logit = static_cast<double>(*top) / temperature;
  auto chosen = static_cast<std::int32_t>(top - logprobs_.begin());
  double best = top_logit + Gumbel(draw)(chosen);
  double factor = std::exp(top_logit - best) * kBoundMargin;
  if (!powers_) powers_ = fast_powers(options_, kernels_, logprobs_, *top);
  const bool bounded = !powers_->empty();
  Gumbel gumbel(draw);
  for (std::size_t i = 0; i < logprobs_.size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    if (logprobs_[i] == kNever || token == chosen) continue;
    if (bounded && 1.0 - gumbel.uniform(token) > (*powers_)[i] * factor) continue;
    const double sum = static_cast<double>(logprobs_[i]) / temperature + gumbel(token);
    if (sum < best || (sum == best && token > chosen)) continue;
    best = sum;
    chosen = token;
    factor = std::exp(top_logit - best) * kBoundMargin;
  }
  return chosen;
}

}  // namespace mime_fast
