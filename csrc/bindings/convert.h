// Python's values as the engine's and back.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

#include "engine/run.h"

namespace mime_fast {

// Entries of a dict; a missing key, another type or a number out of range raises.
std::size_t checked_count(const pybind11::dict& values, const char* name, std::int64_t low, std::int64_t high);
bool checked_truth(const pybind11::dict& values, const char* name);
double checked_number(const pybind11::dict& values, const char* name, double low, double high);

// The keys of GenerationConfig.
SearchOptions options_of(const pybind11::dict& values, std::size_t vocab_size, std::size_t max_positions);

// None, or one sequence of ids a dialogue.
std::vector<std::vector<std::int32_t>> prefixes_of(const pybind11::object& prefixes, std::size_t count,
                                                   std::size_t vocab_size, std::size_t max_new_tokens);

// Replies as flat arrays: how many each dialogue has [N], and of each its length, tokens and their log-probs (flat),
// log-prob, score and whether it ended.
pybind11::tuple flat_replies(const std::vector<std::vector<Reply>>& replies);

}  // namespace mime_fast
