// Sampling of one row from its best words and from all of them: for tests that both draw the same.

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "bindings/checks.h"
#include "bindings/convert.h"
#include "bindings/dev/parts.h"
#include "engine/sampling.h"

namespace mime_fast {
namespace {

// Of each seed the token drawn from all logits [V], and the one drawn from the best words with a log-sum-exp that is
// `off` from the true one (or None). banned: ascending.
py::list draws(const py::object& logits, double log_sum_exp, double off, const py::dict& options,
               const std::vector<std::uint64_t>& seeds, const std::vector<std::int32_t>& banned) {
  const auto values = checked_array<float>("logits", logits, 1, "[V]");
  const auto size = static_cast<std::size_t>(values.size());
  const SearchOptions search = options_of(options, size, std::size_t{1} << 20);
  std::vector<Scored> words;
  for (std::size_t token = 0; token < size; ++token) {
    const auto id = static_cast<std::int32_t>(token);
    const bool may_come = !search.suppresses(id) && !std::binary_search(banned.begin(), banned.end(), id);
    if (may_come) words.push_back({values.data()[token], id});
  }
  std::sort(words.begin(), words.end(), ranks_before);
  const std::size_t asked = best_for_draw(search), count = std::min(asked, words.size());
  RowDistribution whole(search, kernels(best_isa()), values.data(), size, log_sum_exp, banned, {});
  const auto list = asked == 0
                        ? std::nullopt
                        : shortlist_of_best(search, words.data(), count, asked, log_sum_exp + off, std::fabs(off));
  py::list tokens;
  for (const std::uint64_t seed : seeds) {
    const Draw draw{seed, 0, 0, 0};
    const Scored* best = list ? ShortDraws(*list, search)(draw) : nullptr;
    tokens.append(py::make_tuple(whole(draw), best == nullptr ? py::object(py::none()) : py::int_(best->token)));
  }
  return tokens;
}

}  // namespace

void bind_draw(py::module_& module) {
  module.def("draws", &draws, py::arg("logits"), py::arg("log_sum_exp"), py::arg("off"), py::arg("options"),
             py::arg("seeds"), py::arg("banned"),
             "Of each seed the token sampled from all logits, and the one from the best words or None.");
}

}  // namespace mime_fast
