// What a caller can choose of a search; docs/search.md defines every option.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mime_fast {

struct SearchOptions {
  bool mime = false;
  bool do_sample = false;
  std::size_t num_beams = 1;
  std::size_t num_return_sequences = 1;
  std::size_t max_new_tokens = 1;
  std::size_t min_new_tokens = 0;
  std::size_t no_repeat_ngram_size = 0;
  std::size_t top_k = 0;
  double top_p = 1;
  double temperature = 1;
  double length_penalty = 1;
  double repetition_penalty = 1;
  std::vector<std::uint8_t> suppressed;  // [V], or empty

  bool beams() const { return mime || num_beams > 1; }
  bool penalises() const { return repetition_penalty != 1; }
  // Of a logit or a log-prob of a token that has been said.
  float penalised(float value) const {
    const auto penalty = static_cast<float>(repetition_penalty);
    return value < 0 ? value * penalty : value / penalty;
  }
  bool suppresses(std::int32_t token) const {
    return !suppressed.empty() && suppressed[static_cast<std::size_t>(token)] != 0;
  }
  // Tokens of a row that can matter: an end-of-sentence is dropped or kept beside as many others.
  std::size_t candidates() const { return mime ? num_beams : num_beams > 1 ? 2 * num_beams : 1; }
};

}  // namespace mime_fast
