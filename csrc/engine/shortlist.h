// Draws from a few words of a row with bounds of all others: where they leave no doubt, a token is the one that is
// drawn from the whole row.
#pragma once

#include <cstddef>
#include <optional>

#include "engine/draw.h"
#include "engine/search_options.h"
#include "mime_fast/kernels.h"

namespace mime_fast {

// The best words of a row that may come, by ranks_before.
struct Shortlist {
  const Scored* words;  // [count]; log-probs, or logits
  std::size_t count;
  bool all;               // whether no other word may come
  double rest_least = 0;  // of the sum of exp((logit - best logit) / temperature) over all other words
  double rest_most = 0;
  double rounding = 0;  // how far a logit may be from the log-prob that decides, but for what all words share
};

// Draws from a shortlist, which must outlive them, by temperature and top_p.
class ShortDraws {
 public:
  ShortDraws(const Shortlist& list, const SearchOptions& options);

  // The word that is drawn, or null where the list does not decide.
  const Scored* operator()(const Draw& draw) const;

 private:
  Shortlist list_;
  double temperature_;
  std::size_t surely_ = 0;  // so many of the first words are in the shortest run whose probabilities reach top_p
  std::size_t maybe_ = 0;   // and so many may be
  bool others_ = false;     // whether words that are not in the list may be, too
};

// Whether neither float32 nor float64 loses digits of logits / temperature: 1e-4 to 1e4.
bool temperature_is_plain(double temperature);

// How many best words `shortlist_of_best` asks for, up to kSortedK; 0: it is of no use.
std::size_t best_for_draw(const SearchOptions& options);

// Whether that many of a screened row decide nearly always, so that few rows are computed twice.
bool draws_are_short(const SearchOptions& options);

// best: [count], by ranks_before, of the `asked` that were asked for. error: how far log_sum_exp may be off. None: they
// decide nothing.
std::optional<Shortlist> shortlist_of_best(const SearchOptions& options, const Scored* best, std::size_t count,
                                           std::size_t asked, double log_sum_exp, double error);

}  // namespace mime_fast
