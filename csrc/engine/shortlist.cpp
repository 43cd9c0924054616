#include "engine/shortlist.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/gumbel.h"

namespace mime_fast {
namespace {

constexpr std::size_t kBestWords = kSortedK;  // that usually have top_p of the probability
constexpr double kShortDraws = 0.65;          // of temperature * top_p: above it, a fifth of the rows is undecided
constexpr double kLeastTemperature = 1e-4;    // from here to its inverse quotients keep their digits in float64
constexpr double kLogSumExpRounding = 1e-4;   // more than its float32 exponentials are off
constexpr double kChunkRounding = 0x1p-22;    // relative, of a chunk's exponentials: twice what a float32 shift is off
constexpr double kLogprobRounding = 0x1p-23;  // relative, and twice what it is
constexpr double kSumRounding = 1e-9;         // of sums and comparisons in float64, more than they can have

}  // namespace

ShortDraws::ShortDraws(const Shortlist& list, const SearchOptions& options)
    : list_(list), temperature_(options.temperature) {
  if (list.count == 0) {
    others_ = true;
    return;
  }
  if (options.top_p >= 1.0) {
    surely_ = maybe_ = list.count;
    others_ = !list.all;
    return;
  }
  const double gap = 2 * list.rounding, slack = std::expm1(gap / temperature_) + kSumRounding;
  const auto power = [&](std::size_t i) {
    return std::exp((static_cast<double>(list.words[i].logit) - static_cast<double>(list.words[0].logit)) /
                    temperature_);
  };
  double listed = 0;
  for (std::size_t i = 0; i < list.count; ++i) listed += power(i);
  const double least = options.top_p * (listed + list.rest_least), most = options.top_p * (listed + list.rest_most);
  surely_ = maybe_ = 1;
  double before = power(0);
  const auto may_go_on = [&] { return !(before * (1 - slack) >= most * (1 + slack)); };
  for (; maybe_ < list.count && may_go_on(); before += power(maybe_++)) {
    const bool surely = before * (1 + slack) < least * (1 - slack);
    if (surely && surely_ == maybe_) ++surely_;
  }
  // Words that rounding may exchange lie on one side of the cut.
  const auto tied = [&](std::size_t i) { return !(list.words[i - 1].logit - list.words[i].logit > gap); };
  const bool at_end = maybe_ == list.count;
  others_ = !list.all && at_end && (may_go_on() || gap > 0);
  while (maybe_ < list.count && tied(maybe_)) ++maybe_;
  if (!at_end && maybe_ == list.count) others_ = !list.all && gap > 0;
  while (surely_ > 0 && surely_ < list.count && tied(surely_)) --surely_;
}

const Scored* ShortDraws::operator()(const Draw& draw) const {
  if (others_) return nullptr;
  Gumbel gumbel(draw);
  std::size_t chosen = 0;
  double best = -std::numeric_limits<double>::infinity(), second = best;
  for (std::size_t i = 0; i < maybe_; ++i) {
    const double below = static_cast<double>(list_.words[i].logit) - static_cast<double>(list_.words[0].logit);
    const double sum = below / temperature_ + gumbel(list_.words[i].token);
    if (sum > best) {
      second = best;
      best = sum;
      chosen = i;
    } else {
      second = std::max(second, sum);
    }
  }
  const bool clear = best - second > 2 * list_.rounding / temperature_ + kSumRounding;
  return clear && chosen < surely_ ? list_.words + chosen : nullptr;
}

bool temperature_is_plain(double temperature) {
  return temperature >= kLeastTemperature && temperature <= 1.0 / kLeastTemperature;
}

std::size_t best_for_draw(const SearchOptions& options) {
  if (!options.do_sample || options.penalises() || !temperature_is_plain(options.temperature)) return 0;
  if (options.top_k > 0 && options.top_k < kSortedK) return options.top_k + 1;
  return options.top_p < 1.0 && options.temperature <= 1.0 ? kBestWords : 0;
}

bool draws_are_short(const SearchOptions& options) {
  const bool few = options.top_k > 0 && options.top_k < kSortedK;
  return best_for_draw(options) > 0 && (few || options.temperature * options.top_p <= kShortDraws);
}

std::optional<Shortlist> shortlist_of_best(const SearchOptions& options, const Scored* best, std::size_t count,
                                           std::size_t asked, double log_sum_exp, double error) {
  if (count == 0) return std::nullopt;
  const auto first = static_cast<double>(best[0].logit), last = static_cast<double>(best[count - 1].logit);
  const double largest = std::max(std::fabs(first - log_sum_exp), std::fabs(last - log_sum_exp)) + error + 1.0;
  Shortlist list{best, count, count < asked, 0, 0, kLogprobRounding * largest};
  const std::size_t top_k = options.top_k;
  if (top_k > 0 && top_k < count) {
    if (!(best[top_k - 1].logit - best[top_k].logit > 2 * list.rounding)) return std::nullopt;
    list.count = top_k;
    list.all = true;
  }
  if (!list.all) {
    // Other words: no logit above the last, so that with a temperature of at most 1 each has at most
    // exp((1 / temperature - 1) (last - first)) of what it has without.
    double rest = std::exp(error + kLogSumExpRounding + kChunkRounding * std::fabs(log_sum_exp));
    for (std::size_t i = 0; i < count; ++i) rest -= std::exp(static_cast<double>(best[i].logit) - log_sum_exp);
    const double shrunk = std::exp((1.0 / options.temperature - 1.0) * (last - first));
    list.rest_most = std::max(rest, 0.0) * std::exp(log_sum_exp - first) * shrunk;
  }
  return list;
}

}  // namespace mime_fast
