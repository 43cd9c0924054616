// A draw from a few words of a row with bounds of all others: where they leave no doubt, it is the token that
// sample_token draws from the whole row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/sampling.h"

namespace mime_fast {

constexpr std::int32_t kUndecided = -2;

// The best words of a row that may come, by ranks_before.
struct Shortlist {
  const Scored* words;  // [count]; log-probs, or logits
  std::size_t count;
  bool all;               // whether no other word may come
  double rest_least = 0;  // of the sum of exp((logit - best logit) / temperature) over all other words
  double rest_most = 0;
  double rounding = 0;  // how far a logit may be from the log-prob that decides, but for what all words share
};

// Whether neither float32 nor float64 loses digits of logits / temperature: 1e-4 to 1e4.
bool temperature_is_plain(double temperature);

// By temperature and top_p.
std::int32_t draw_from(const Draw& draw, const Shortlist& list);

// How many best words `draw_of_best` asks for, up to kSortedK; 0: it is of no use.
std::size_t best_for_draw(const SearchOptions& options);

// Whether that many of a screened row decide nearly always, so that few rows are computed twice.
bool draws_are_short(const SearchOptions& options);

// best: [count], by ranks_before, of the `asked` that were asked for. error: how far log_sum_exp may be off.
std::int32_t draw_of_best(const Draw& draw, const Scored* best, std::size_t count, std::size_t asked,
                          double log_sum_exp, double error);

}  // namespace mime_fast
