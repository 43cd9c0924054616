// The beam step's sizes and arrays as Python gives them: by name, arrays by their address.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "mime_fast/beam_step.h"

namespace mime_fast {

namespace py = pybind11;

struct BeamArgs {
  BeamSizes sizes;
  BeamState state;
};

template <typename T>
T* pointer_of(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

inline BeamOffer offer_of(std::uintptr_t log_probs, std::uintptr_t ids, std::uintptr_t values) {
  return {pointer_of<const float>(log_probs), pointer_of<const std::int32_t>(ids), pointer_of<const float>(values)};
}

inline BeamArgs beam_args(const py::dict& sizes, const py::dict& addresses) {
  const auto size = [&](const char* name) { return sizes[name].cast<std::int32_t>(); };
  const auto address = [&](const char* name) { return addresses[name].cast<std::uintptr_t>(); };
  const auto ints = [&](const char* name) { return pointer_of<std::int32_t>(address(name)); };
  const auto floats = [&](const char* name) { return pointer_of<float>(address(name)); };
  BeamArgs args{};
  args.sizes = {size("beams"),          size("candidates"),           size("positions"), size("bans"), size("eos"),
                size("min_new_tokens"), size("no_repeat_ngram_size"), size("mime")};
  BeamState& state = args.state;
  state.divisors = pointer_of<const double>(address("divisors"));
  state.prefixes = ints("prefixes");
  state.live_count = ints("live_count");
  state.active = ints("active");
  state.broken_at = ints("broken_at");
  state.live = ints("live");
  state.positions = ints("positions");
  state.sums = floats("sums");
  state.words = ints("words");
  state.word_log_probs = floats("word_log_probs");
  state.ancestry = ints("ancestry");
  state.banned = ints("banned");
  state.forced = ints("forced");
  state.pool_sizes = ints("pool_sizes");
  state.pool_counts = ints("pool_counts");
  state.pool_sums = floats("pool_sums");
  state.pool_scores = pointer_of<double>(address("pool_scores"));
  state.pool_words = ints("pool_words");
  state.pool_log_probs = floats("pool_log_probs");
  state.sorted_sums = floats("sorted_sums");
  state.sorted = ints("sorted");
  state.counts = ints("counts");
  state.chosen = ints("chosen");
  state.plan = ints("plan");
  state.moved_words = ints("moved_words");
  state.moved_log_probs = floats("moved_log_probs");
  state.moved_rows = ints("moved_rows");
  return args;
}

}  // namespace mime_fast
