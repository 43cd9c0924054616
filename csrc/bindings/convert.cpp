#include "bindings/convert.h"

#include <algorithm>
#include <limits>
#include <string>

#include "bindings/checks.h"
#include "mime_fast/philox.h"

namespace mime_fast {
namespace {

constexpr std::int64_t kMaxHypotheses = 10000;
constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();

py::object entry(const py::dict& values, const char* name) {
  if (!values.contains(name)) throw py::value_error(std::string("missing key '") + name + "'");
  return values[name];
}

// Where any size is allowed, one beyond 64 bits is as good as the largest.
std::int64_t checked_integer(const std::string& name, const py::handle& value, std::int64_t low, std::int64_t high) {
  if (!py::isinstance<py::int_>(value) || py::isinstance<py::bool_>(value)) {
    throw py::type_error(name + ": must be an integer, not " + type_name(value));
  }
  int overflow = 0;
  const std::int64_t number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
  if (overflow > 0 && high == kAny) return high;
  if (overflow != 0) throw py::value_error(name + ": must be an integer of 64 bits");
  return checked_range(name, number, low, high);
}

// A list or a tuple of token ids.
std::vector<std::int32_t> checked_tokens(const std::string& name, const py::handle& value, std::size_t vocab_size) {
  if (!py::isinstance<py::list>(value) && !py::isinstance<py::tuple>(value)) {
    throw py::type_error(name + ": must be a list of token ids, not " + type_name(value));
  }
  std::vector<std::int32_t> tokens;
  for (const py::handle token : value) {
    const std::int64_t last = static_cast<std::int64_t>(vocab_size) - 1;
    tokens.push_back(static_cast<std::int32_t>(checked_integer(name, token, 0, last)));
  }
  return tokens;
}

}  // namespace

bool checked_truth(const py::dict& values, const char* name) {
  const py::object value = entry(values, name);
  if (!py::isinstance<py::bool_>(value)) {
    throw py::type_error(std::string(name) + ": must be True or False, not " + type_name(value));
  }
  return value.cast<bool>();
}

double checked_number(const py::dict& values, const char* name, double low, double high) {
  const py::object given = entry(values, name);
  if ((!py::isinstance<py::float_>(given) && !py::isinstance<py::int_>(given)) || py::isinstance<py::bool_>(given)) {
    throw py::type_error(std::string(name) + ": must be a number, not " + type_name(given));
  }
  const double value = PyFloat_AsDouble(given.ptr());
  if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  if (!(value >= low && value <= high)) {
    const py::str text = py::str("{}={!r}: must be from {} to {}").format(name, given, low, high);
    throw py::value_error(text.cast<std::string>());
  }
  return value;
}

std::size_t checked_count(const py::dict& values, const char* name, std::int64_t low, std::int64_t high) {
  return static_cast<std::size_t>(checked_integer(name, entry(values, name), low, high));
}

SearchOptions options_of(const py::dict& values, std::size_t vocab_size, std::size_t max_positions) {
  SearchOptions options;
  const py::dict left(values.attr("copy")());  // what has not been read
  const auto take = [&](const char* name) { return left.attr("pop")(name, py::none()); };
  const auto count = [&](const char* name, std::int64_t low, std::int64_t high) {
    take(name);
    return checked_count(values, name, low, high);
  };
  const auto number = [&](const char* name, double low, double high) {
    take(name);
    return checked_number(values, name, low, high);
  };
  const double tiny = std::numeric_limits<double>::denorm_min(), huge = std::numeric_limits<double>::max();
  const auto search = py::str(entry(values, "search")).cast<std::string>();
  if (search != "mime" && search != "standard")
    throw py::value_error("search='" + search + "': must be 'mime' or 'standard'");
  options.mime = search == "mime";
  options.do_sample = checked_truth(values, "do_sample");
  options.num_beams = count("num_beams", 1, kMaxHypotheses);
  options.num_return_sequences = count("num_return_sequences", 1, kMaxHypotheses);
  options.max_new_tokens = count("max_new_tokens", 1, static_cast<std::int64_t>(max_positions));
  options.min_new_tokens = count("min_new_tokens", 0, kAny);
  options.no_repeat_ngram_size = count("no_repeat_ngram_size", 0, kAny);
  options.top_k = count("top_k", 0, kAny);
  options.top_p = number("top_p", tiny, 1.0);
  options.temperature = number("temperature", 1e-300, huge);
  options.length_penalty = number("length_penalty", -huge, huge);
  options.repetition_penalty = number("repetition_penalty", 0.01, 100.0);
  for (const char* name : {"search", "do_sample", "suppress_tokens"}) take(name);
  for (const auto& [name, value] : left) {
    throw py::value_error("unknown search option '" + py::str(name).cast<std::string>() + "'");
  }
  if (options.do_sample && options.max_new_tokens > std::size_t{1} << kStepBits) {
    throw py::value_error("max_new_tokens: must be at most " + std::to_string(1 << kStepBits) + " with do_sample");
  }
  if (options.do_sample && (options.num_beams > 1 || options.mime)) {
    throw py::value_error("do_sample: must be False with beams");
  }
  if (!options.do_sample && options.num_return_sequences > options.num_beams) {
    throw py::value_error("num_return_sequences: must be at most num_beams");
  }
  const auto suppressed = checked_tokens("suppress_tokens", entry(values, "suppress_tokens"), vocab_size);
  if (!suppressed.empty()) options.suppressed.assign(vocab_size, 0);
  for (const std::int32_t token : suppressed) options.suppressed[static_cast<std::size_t>(token)] = 1;
  return options;
}

std::vector<std::vector<std::int32_t>> prefixes_of(const py::object& prefixes, std::size_t count,
                                                   std::size_t vocab_size, std::size_t max_new_tokens) {
  std::vector<std::vector<std::int32_t>> begun;
  if (prefixes.is_none()) return begun;
  if (!py::isinstance<py::list>(prefixes) && !py::isinstance<py::tuple>(prefixes)) {
    throw py::type_error("prefixes: must be None or a list, one item per context, not " + type_name(prefixes));
  }
  for (const py::handle each : prefixes) {
    begun.push_back(checked_tokens("prefixes", each, vocab_size));
    const std::vector<std::int32_t>& prefix = begun.back();
    if (prefix.size() >= max_new_tokens) {
      throw py::value_error("prefixes: one has " + std::to_string(prefix.size()) +
                            " tokens; must have fewer than max_new_tokens=" + std::to_string(max_new_tokens));
    }
    if (std::find(prefix.begin(), prefix.end(), kEosId) != prefix.end()) {
      throw py::value_error("prefixes=" + std::to_string(kEosId) + ": must be any token but the end of a sentence");
    }
  }
  if (begun.size() != count) {
    throw py::value_error(std::to_string(begun.size()) + " prefixes for " + std::to_string(count) + " contexts");
  }
  return begun;
}

py::tuple flat_replies(const std::vector<std::vector<Reply>>& replies) {
  std::size_t total = 0, tokens = 0;
  for (const auto& each : replies) {
    total += each.size();
    for (const Reply& reply : each) tokens += reply.token_ids.size();
  }
  Array<std::int64_t> counts(replies.size()), lengths(total);
  Array<std::int32_t> token_ids(tokens);
  Array<float> token_logprobs(tokens), logprobs(total);
  Array<double> scores(total);
  Array<bool> ended(total);
  std::size_t at = 0, token = 0;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    counts.mutable_data()[i] = static_cast<std::int64_t>(replies[i].size());
    for (const Reply& reply : replies[i]) {
      lengths.mutable_data()[at] = static_cast<std::int64_t>(reply.token_ids.size());
      logprobs.mutable_data()[at] = reply.logprob;
      scores.mutable_data()[at] = reply.score;
      ended.mutable_data()[at] = reply.ended;
      std::copy(reply.token_ids.begin(), reply.token_ids.end(), token_ids.mutable_data() + token);
      std::copy(reply.token_logprobs.begin(), reply.token_logprobs.end(), token_logprobs.mutable_data() + token);
      token += reply.token_ids.size();
      ++at;
    }
  }
  return py::make_tuple(counts, lengths, token_ids, token_logprobs, logprobs, scores, ended);
}

}  // namespace mime_fast
