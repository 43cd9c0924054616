#include "decoder/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "decoder/search.h"
#include "mime_fast/philox.h"

namespace mime_fast {
namespace {

constexpr std::uint32_t kTokenPurpose = 4;

struct Choice {
  double logit;
  std::int32_t token;
};

bool ranks_before(const Choice& a, const Choice& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// Keep all that equal the k-th largest or more.
void keep_top_k(std::vector<Choice>& choices, std::size_t k) {
  if (k == 0 || choices.size() <= k) return;
  std::vector<Choice> order = choices;
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k - 1), order.end(), ranks_before);
  const double least = order[k - 1].logit;
  choices.erase(
      std::remove_if(choices.begin(), choices.end(), [least](const Choice& choice) { return choice.logit < least; }),
      choices.end());
}

// Keep the shortest run of most probable tokens whose probabilities reach top_p.
void keep_top_p(std::vector<Choice>& choices, double top_p) {
  if (top_p >= 1.0 || choices.empty()) return;
  std::sort(choices.begin(), choices.end(), ranks_before);
  const double best = choices.front().logit;
  double total = 0;
  for (const Choice& choice : choices) total += std::exp(choice.logit - best);
  double before = 0;
  std::size_t kept = 0;
  while (kept < choices.size() && before < top_p) before += std::exp(choices[kept++].logit - best) / total;
  choices.resize(kept);
  std::sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) { return a.token < b.token; });
}

// arg max of logit + Gumbel number; choices by ascending token, the first of equal sums wins.
std::int32_t gumbel_max(const Draw& draw, const std::vector<Choice>& choices) {
  PhiloxDraw counter{};
  counter.seed = draw.seed;
  counter.request_id = draw.request_id;
  counter.purpose = kTokenPurpose;
  counter.step = static_cast<std::uint32_t>(draw.step);
  counter.sequence = static_cast<std::uint32_t>(draw.sequence);
  std::uint32_t block = std::numeric_limits<std::uint32_t>::max();
  PhiloxWords words{};
  std::int32_t chosen = -1;
  double best = -std::numeric_limits<double>::infinity();
  double best_factor = std::numeric_limits<double>::infinity();  // exp(-best), rounded up
  for (const Choice& choice : choices) {
    const auto token = static_cast<std::uint32_t>(choice.token);
    if (token / 4 != block) {
      block = token / 4;
      words = philox_block(counter, block);
    }
    const double u = uniform23(words.x[token % 4]);
    // -ln(-ln u) <= -ln(1 - u): no logarithm is needed where even this bound stays below the best sum.
    if (chosen >= 0 && 1.0 - u > best_factor * std::exp(std::min(choice.logit, 700.0))) continue;
    const double sum = choice.logit - std::log(-std::log(u));
    if (chosen < 0 || sum > best) {
      best = sum;
      chosen = choice.token;
      best_factor = best < -700.0 ? std::numeric_limits<double>::infinity() : std::exp(-best) * (1.0 + 1e-9);
    }
  }
  return chosen;
}

}  // namespace

std::int32_t sample_token(const Draw& draw, const float* logits, std::size_t size, double log_sum_exp,
                          const std::vector<std::int32_t>& banned) {
  const std::vector<std::uint8_t>& suppressed = draw.options.suppressed;
  std::vector<Choice> choices;
  choices.reserve(size);
  auto next_banned = banned.begin();
  for (std::size_t i = 0; i < size; ++i) {
    const auto token = static_cast<std::int32_t>(i);
    while (next_banned != banned.end() && *next_banned < token) ++next_banned;
    if (next_banned != banned.end() && *next_banned == token) continue;
    if (!suppressed.empty() && suppressed[i] != 0) continue;
    const auto logprob = static_cast<float>(logits[i] - log_sum_exp);
    if (logprob > -std::numeric_limits<float>::infinity()) {
      choices.push_back({static_cast<double>(logprob) / draw.options.temperature, token});
    }
  }
  keep_top_k(choices, draw.options.top_k);
  keep_top_p(choices, draw.options.top_p);
  return gumbel_max(draw, choices);
}

}  // namespace mime_fast
