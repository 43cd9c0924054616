// Only the search, on log-probs that Python gives: for tests of its semantics.

#include <algorithm>
#include <limits>
#include <vector>

#include "bindings/checks.h"
#include "bindings/convert.h"
#include "bindings/dev/parts.h"
#include "engine/cut.h"
#include "engine/search.h"

namespace mime_fast {
namespace {

// The best tokens of given log-probs [V], as the kernels and VocabularyLookup find them.
std::vector<Scored> best_tokens(const float* logprobs, std::size_t size, const SearchOptions& options,
                                const std::vector<std::int32_t>& banned, const RowSums& sums) {
  const std::size_t k = options.candidates();
  TopTokens top{};
  top.threshold = -std::numeric_limits<float>::infinity();
  top.k = std::min(options.beams() ? k + 1 : k, size);
  top.capacity = top_capacity(top.k);
  std::vector<Scored> kept(top.capacity), all;
  top.kept = kept.data();
  top.banned = banned.data();
  top.num_banned = banned.size();
  for (std::size_t token = 0; token < size; ++token) {
    const Scored scored{logprobs[token], static_cast<std::int32_t>(token)};
    if (!options.suppressed.empty() && options.suppressed[token] != 0) continue;
    if (scored.logit > top.threshold) enter(top, scored);
    if (std::binary_search(banned.begin(), banned.end(), scored.token)) continue;
    if (scored.logit > -std::numeric_limits<float>::infinity()) all.push_back(scored);
  }
  prune(top);
  if (options.beams() && !is_clear(top.kept, top.count, k, sums)) {
    cut_by_sums(all, k, sums);
    return all;
  }
  kept.resize(std::min(top.count, k));
  return kept;
}

py::list words(const Tree& tree, std::int32_t node) {
  py::list tokens;
  for (; tree.node(node).parent >= 0; node = tree.node(node).parent) tokens.insert(0, tree.node(node).token);
  return tokens;
}

void offer_row(Search& search, std::size_t row, const Array<float>& logprobs, const SearchOptions& options) {
  const float* values = logprobs.data();
  const auto size = static_cast<std::size_t>(logprobs.size());
  const auto banned = options.do_sample ? search.banned(row) : search.set_apart(row);
  if (search.forced() >= 0) {
    const Scored only{values[search.forced()], search.forced()};
    search.offer(row, &only, 1, 0.0);
  } else if (options.do_sample) {
    const auto said = options.penalises() ? search.said(row) : std::vector<std::int32_t>{};
    RowDistribution distribution(options, kernels(best_isa()), values, size, 0.0, banned, said);
    search.offer_draw(row, distribution, values, 0.0);
  } else {
    const auto best = best_tokens(values, size, options, banned, {search.live()[row].total, 0.0});
    if (options.penalises()) {
      search.offer_penalised(row, best.data(), best.size(), values, 0.0);
    } else {
      search.offer(row, best.data(), best.size(), 0.0);
    }
  }
}

py::tuple search_alone(const py::function& step, std::size_t vocab_size, const py::dict& options,
                       const py::object& seeds, const py::object& request_ids, const py::object& prefixes) {
  const auto keys = checked_array<std::uint64_t>("seeds", seeds, 1, "[N]");
  const auto requests = checked_array<std::uint64_t>("request_ids", request_ids, 1, "[N]");
  const auto count = static_cast<std::size_t>(keys.size());
  check_size("request_ids", requests, count);
  checked_range("vocab_size", static_cast<std::int64_t>(vocab_size), kSosId + 1, std::int64_t{1} << 20);
  const SearchOptions search_options = options_of(options, vocab_size, std::size_t{1} << 20);
  const auto begun = prefixes_of(prefixes, count, vocab_size, search_options.max_new_tokens);
  std::vector<std::vector<Reply>> replies(count);
  for (std::size_t i = 0; i < count; ++i) {
    Tree tree{Model{}, 0};
    Search search(search_options,
                  {keys.data()[i], requests.data()[i], begun.empty() ? std::vector<std::int32_t>{} : begun[i]}, tree);
    while (!search.live().empty()) {
      for (std::size_t row = 0; row < search.live().size(); ++row) {
        const py::object given = step(i, words(tree, search.live()[row].node));
        const auto logprobs = checked_array<float>("the step's log-probs", given, 1, "[V]");
        check_size("the step's log-probs", logprobs, vocab_size);
        offer_row(search, row, logprobs, search_options);
      }
      search.advance();
    }
    for (const Hypothesis& hypothesis : search.results()) replies[i].push_back(reply_of(tree, hypothesis));
  }
  return flat_replies(replies);
}

}  // namespace

void bind_search(py::module_& module) {
  module.def(
      "search", &search_alone, py::arg("step"), py::arg("vocab_size"), py::arg("options"), py::arg("seeds"),
      py::arg("request_ids"), py::arg("prefixes") = py::none(),
      "The engine's search on a model made of step(dialogue, words) -> log-probs [V]; what Model.generate returns.");
}

}  // namespace mime_fast
