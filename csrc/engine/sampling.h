// Draws from one row's distribution by the Gumbel-max of docs/random.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/draw.h"
#include "engine/search_options.h"
#include "engine/shortlist.h"
#include "mime_fast/kernels.h"

namespace mime_fast {

struct Choice {
  double logit;
  std::int32_t token;
};

// A row with the penalty of those said, temperature, top_k and top_p as docs/search.md states them, the last three in
// float64. What several draws share is made by the first that needs it.
class RowDistribution {
 public:
  // logits: [size].
  RowDistribution(const SearchOptions& options, const Kernels& kernels, const float* logits, std::size_t size,
                  double log_sum_exp, const std::vector<std::int32_t>& banned, const std::vector<std::int32_t>& said);

  RowDistribution(const RowDistribution&) = delete;
  RowDistribution& operator=(const RowDistribution&) = delete;

  // The token, or -1 where none may come.
  std::int32_t operator()(const Draw& draw);

 private:
  void shorten();
  const std::vector<Choice>& choices();
  std::int32_t draw_of_all(const Draw& draw);

  const SearchOptions& options_;
  const Kernels& kernels_;
  std::vector<float> logprobs_;  // or penalised logits; what may not come, and what top_k leaves out, at -inf
  std::optional<std::vector<float>> powers_;
  bool shortened_ = false;
  std::vector<Scored> words_;
  std::optional<ShortDraws> short_;  // by top_p, where float32 exponentials leave little doubt
  std::optional<std::vector<Choice>> choices_;
};

}  // namespace mime_fast
