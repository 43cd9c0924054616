// The screened projection on any weights: for tests of its bound and of what it finds.

#include <pybind11/stl.h>

#include <limits>
#include <vector>

#include "bindings/checks.h"
#include "bindings/dev/parts.h"
#include "bindings/names.h"
#include "engine/screening.h"
#include "engine/vocabulary.h"

namespace mime_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Projection {
  Projection(const py::handle& weight, const py::handle& bias, const py::handle& x)
      : weight(checked_array<float>("weight", weight, 2, "[V, K]")),
        bias(checked_array<float>("bias", bias, 1, "[V]")),
        x(checked_array<float>("x", x, 2, "[M, K]")) {
    check_size("bias", this->bias, words());
    if (this->x.shape(1) != this->weight.shape(1)) throw py::value_error("weight and x: must have the same K");
    checked_range("rows of x", this->x.shape(0), 1, kMaxVocabRows);
  }
  std::size_t words() const { return static_cast<std::size_t>(weight.shape(0)); }
  std::size_t inputs() const { return static_cast<std::size_t>(weight.shape(1)); }
  std::size_t rows() const { return static_cast<std::size_t>(x.shape(0)); }

  // A model that has a vocabulary and nothing else.
  Model model(const Kernels& table) const {
    Model model;
    model.config.vocab_size = words();
    model.config.hidden_size = inputs();
    model.kernels = &table;
    model.vocabulary = pack_vocabulary(Precision::kFloat32, weight.data(), words(), inputs(), bias.data(), kBlock);
    model.screened = screen(weight.data(), words(), inputs(), bias.data(), table.int8_range);
    return model;
  }

  Array<float> weight, bias, x;
};

// Of all words of all rows: approximate logits, their bounds, and the exact logits.
py::tuple screen_bounds(const py::object& weight, const py::object& bias, const py::object& x, const std::string& isa) {
  const Projection given(weight, bias, x);
  checked_range("words", static_cast<std::int64_t>(given.words()), 1, kScreenEntries);
  const Kernels& table = kernels(checked_isa(isa));
  const Model model = given.model(table);
  const ScreenedMatrix& screened = *model.screened;
  const std::size_t words = given.words(), rows = given.rows();
  Array<float> approximate({rows, words}), error({rows, words}), exact({rows, words});
  std::vector<std::uint32_t> packed(table.row_words(Precision::kInt8, given.inputs()));
  std::vector<float> scratch(2 * given.inputs());
  std::vector<Scored> lower_kept(top_capacity(words + kSortedK)), kept(kScreenEntries), all(words);
  const std::vector<std::uint64_t> allowed(screened.coarse.padded / kBlock, ~std::uint64_t{0});
  std::vector<PartialSum> partial(model.vocab_chunks());
  for (std::size_t token = 0; token < words; ++token) all[token].token = static_cast<std::int32_t>(token);
  for (std::size_t row = 0; row < rows; ++row) {
    const float* values = given.x.data() + row * given.inputs();
    ScreenedRow prepared;
    float scale = 0;
    table.screen_rows({&screened, values, given.inputs(), 1, packed.data(), &scale, &prepared, scratch.data()});
    TopTokens lower{};
    lower.threshold = -kInfinity;
    lower.k = words + kSortedK;  // more than there are: all survive
    lower.capacity = lower_kept.size();
    lower.kept = lower_kept.data();
    Survivors survivors{kept.data()};
    ScreenArgs args{};
    args.weight = &screened;
    args.allowed = allowed.data();
    args.x = {packed.data(), packed.size(), &scale};
    args.screened = &prepared;
    args.rows = 1;
    args.lower = &lower;
    args.survivors = &survivors;
    args.partial = partial.data();
    args.chunks = args.last_chunk = partial.size();
    table.screen(args);
    std::fill_n(approximate.mutable_data() + row * words, words, std::numeric_limits<float>::quiet_NaN());
    for (std::size_t i = 0; i < survivors.count; ++i) {
      approximate.mutable_at(row, survivors.kept[i].token) = survivors.kept[i].logit;
    }
    for (std::size_t token = 0; token < words; ++token) {
      error.mutable_at(row, token) = error_of(screened.error.data() + token * kErrorTerms, prepared);
    }
    table.exact_logits({&screened, values, all.data(), words, exact.mutable_data() + row * words});
  }
  return py::make_tuple(approximate, error, exact);
}

// Of each row: whether it was screened, its k best words with their logits, its log-sum-exp with what that may be off
// by; then words, logits and log-sum-exp of the dense product.
py::list screened_best(const py::object& weight, const py::object& bias, const py::object& x, std::size_t k,
                       const py::object& suppressed, const std::vector<std::vector<std::int32_t>>& banned,
                       std::size_t threads, const std::string& isa) {
  const Projection given(weight, bias, x);
  const auto flags = checked_array<std::uint8_t>("suppressed", suppressed, 1, "[V]");
  check_size("suppressed", flags, given.words());
  if (banned.size() != given.rows()) throw py::value_error("banned: must have as many lists as x has rows");
  const Kernels& table = kernels(checked_isa(isa));
  const Model model = given.model(table);
  Scratch scratch(table);
  Team team(threads);
  const std::vector<std::uint8_t> out(flags.data(), flags.data() + flags.size());
  VocabularyLookup dense(model, out, false), screened(model, out);
  for (VocabularyLookup* lookup : {&dense, &screened}) {
    lookup->clear(k);
    for (const auto& tokens : banned) lookup->add(tokens, -1);
    lookup->run(scratch, team, given.x.data(), KeepLogits::kNone);
  }
  const auto words = [](const VocabularyLookup& lookup, std::size_t row) {
    std::vector<Scored> best(lookup.best(row), lookup.best(row) + lookup.count(row));
    std::sort(best.begin(), best.end(), ranks_before);
    py::list tokens, logits;
    for (const Scored& each : best) {
      tokens.append(each.token);
      logits.append(each.logit);
    }
    return py::make_tuple(tokens, logits, lookup.log_sum_exp(row));
  };
  py::list found;
  for (std::size_t row = 0; row < given.rows(); ++row) {
    found.append(
        py::make_tuple(screened.screened(row), words(screened, row), screened.proven_error(row), words(dense, row)));
  }
  return found;
}

}  // namespace

void bind_screen(py::module_& module) {
  module.def("screen_bounds", &screen_bounds, py::arg("weight"), py::arg("bias"), py::arg("x"), py::arg("isa") = "auto",
             "Approximate logits [M, V] of the int8 screen (V up to 512), their bounds, and the exact logits.");
  module.def(
      "screened_best", &screened_best, py::arg("weight"), py::arg("bias"), py::arg("x"), py::arg("k"),
      py::arg("suppressed"), py::arg("banned"), py::arg("threads") = 1, py::arg("isa") = "auto",
      "A row each: (screened, (tokens, logits, log-sum-exp), error of the latter, the same of the dense product).");
}

}  // namespace mime_fast
