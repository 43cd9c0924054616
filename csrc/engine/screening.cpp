#include "engine/screening.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mime_fast/philox.h"

namespace mime_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kFewestBest = 8;      // lower bounds that a row keeps at least, for its log-sum-exp
constexpr std::size_t kMostExact = 256;     // words of a row that are computed exactly; rows that need more are dense
constexpr double kExactShare = 1.0 / 256;   // of the probability, from which on a word is computed exactly
constexpr double kSharedRounding = 5;       // measured: of words that share what the row rounds
constexpr float kLargestError = 16.0f;      // of a word's bound, beyond which its row is dense
constexpr double kShiftRounding = 0x1p-22;  // relative: twice what a float32 shift of exponentials is off
constexpr double kTailRounding = 2e-5;      // of the approximate sum: more than its float32 terms and additions are off
constexpr double kMostCancelled = 16;       // how much more than the sum the approximate one may be: digits go
constexpr std::size_t kTrialRows = 32;      // that a screen is tried on when a model is made
constexpr std::size_t kTrialBest = 11;
constexpr double kPassTime = 0.65;          // dense products that a pass takes where it is slowest, by AVX2
constexpr double kMostTime = 0.9;           // the same, with what rows take beside it, up to which a screen is kept
constexpr std::uint32_t kTrialPurpose = 0;  // of the random numbers; no reply depends on them

}  // namespace

double combine(const PartialSum* partial, std::size_t chunks) {
  double shift = partial[0].shift;
  for (std::size_t i = 1; i < chunks; ++i) shift = std::max(shift, static_cast<double>(partial[i].shift));
  double sum = 0;
  for (std::size_t i = 0; i < chunks; ++i) sum += partial[i].sum * std::exp(partial[i].shift - shift);
  return shift + std::log(sum);
}

void Screening::run(Scratch& scratch, Team& team, const float* x, std::size_t rows, const ScreenAsk& ask) {
  k_ = std::max(ask.k, kFewestBest);
  parts_ = model_.vocab_chunks() > 1 ? team.size() : 1;
  finds_.resize(rows);
  for (ScreenedFind& find : finds_) find.found = false;
  prepare(scratch, x, rows);
  scan(scratch, team, ask, first_);
  scan_again(scratch, team, ask);
  for (std::size_t place = 0; place < first_.rows.size(); ++place) {
    const float threshold = threshold_of(place);
    // Fewer words than asked for, or all of them: the dense product is for such rows.
    if (!(threshold > -kInfinity) || !collect(place, threshold)) continue;
    finish(scratch, x + first_.rows[place] * model_.config.hidden_size, ask, place);
  }
}

void Screening::prepare(Scratch& scratch, const float* x, std::size_t rows) {
  const ScreenedMatrix& weight = *model_.screened;
  const std::size_t size = model_.config.hidden_size, words = scratch.kernels.row_words(Precision::kInt8, size);
  first_.rows.clear();
  if (first_.words.size() < rows * words) first_.words.resize(rows * words);
  first_.scale.resize(rows);
  first_.screened.resize(rows);
  largest_error_.resize(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t place = first_.rows.size();
    ScreenRowsArgs args{};
    args.weight = &weight;
    args.x = x + row * size;
    args.x_stride = size;
    args.rows = 1;
    args.words = first_.words.data() + place * words;
    args.scale = first_.scale.data() + place;
    args.out = first_.screened.data() + place;
    args.scratch = scratch_.need(2 * size);
    scratch.kernels.screen_rows(args);
    largest_error_[place] = error_of(weight.largest_error, first_.screened[place]);
    if (largest_error_[place] <= kLargestError) first_.rows.push_back(row);
  }
  first_.threshold.assign(first_.rows.size(), -kInfinity);
}

void Screening::scan(Scratch& scratch, Team& team, const ScreenAsk& ask, Pass& pass) {
  const std::size_t count = pass.rows.size(), all = parts_ * count, chunks = model_.vocab_chunks();
  if (count == 0) return;
  pass.lower.assign(all, TopTokens{});
  pass.survivors.assign(all, Survivors{});
  if (pass.lower_kept.size() < all * kSortedK) pass.lower_kept.resize(all * kSortedK);
  if (pass.survivors_kept.size() < all * kScreenEntries) pass.survivors_kept.resize(all * kScreenEntries);
  for (std::size_t i = 0; i < all; ++i) {
    const std::vector<std::int32_t>& banned = (*ask.banned)[pass.rows[i % count]];
    pass.lower[i].threshold = pass.threshold[i % count];
    pass.lower[i].k = k_;
    pass.lower[i].kept = pass.lower_kept.data() + i * kSortedK;
    pass.lower[i].banned = banned.data();
    pass.lower[i].num_banned = banned.size();
    pass.survivors[i].kept = pass.survivors_kept.data() + i * kScreenEntries;
  }
  pass.partial.resize(count * chunks);
  const auto compute = [&](std::size_t chunk, std::size_t last, std::size_t part) {
    ScreenArgs args{};
    args.weight = &*model_.screened;
    args.allowed = ask.allowed;
    const std::size_t words = scratch.kernels.row_words(Precision::kInt8, model_.config.hidden_size);
    args.x = {pass.words.data(), words, pass.scale.data()};
    args.screened = pass.screened.data();
    args.rows = count;
    args.lower = pass.lower.data() + part * count;
    args.survivors = pass.survivors.data() + part * count;
    args.partial = pass.partial.data();
    args.chunks = chunks;
    args.first_chunk = chunk;
    args.last_chunk = last;
    scratch.kernels.screen(args);
  };
  if (parts_ == 1) {
    compute(0, chunks, 0);
  } else {
    team.run(chunks, [&](std::size_t chunk, std::size_t member) { compute(chunk, chunk + 1, member); });
  }
}

// Rows with too many words for their lists while the threshold was low: once more with the final one, all together,
// since a pass of one row takes as long as of ten.
void Screening::scan_again(Scratch& scratch, Team& team, const ScreenAsk& ask) {
  places_.clear();
  again_.rows.clear();
  again_.threshold.clear();
  for (std::size_t place = 0; place < first_.rows.size(); ++place) {
    if (!has_lost(place)) continue;
    const float threshold = threshold_of(place);
    if (!(threshold > -kInfinity)) continue;  // it stays dense
    places_.push_back(place);
    again_.rows.push_back(first_.rows[place]);
    again_.threshold.push_back(threshold);
  }
  const std::size_t count = places_.size();
  const std::size_t words = scratch.kernels.row_words(Precision::kInt8, model_.config.hidden_size);
  again_.words.resize(count * words);
  again_.scale.resize(count);
  again_.screened.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::copy_n(first_.words.data() + places_[i] * words, words, again_.words.data() + i * words);
    again_.scale[i] = first_.scale[places_[i]];
    again_.screened[i] = first_.screened[places_[i]];
  }
  scan(scratch, team, ask, again_);
  for (std::size_t part = 0; part < parts_; ++part) {
    for (std::size_t i = 0; i < count; ++i) {
      first_.survivors[part * first_.rows.size() + places_[i]] =
          again_.survivors[part * count + i];  // in again_'s list
    }
  }
}

// The k-th best lower bound; best_ has them all.
float Screening::threshold_of(std::size_t place) {
  best_.clear();
  for (std::size_t part = 0; part < parts_; ++part) {
    const TopTokens& lower = first_.lower[part * first_.rows.size() + place];
    best_.insert(best_.end(), lower.kept, lower.kept + lower.count);
  }
  if (best_.size() < k_) return -kInfinity;
  if (parts_ > 1) std::sort(best_.begin(), best_.end(), ranks_before);
  best_.resize(k_);
  return best_.back().logit;
}

bool Screening::has_lost(std::size_t place) const {
  for (std::size_t part = 0; part < parts_; ++part) {
    if (first_.survivors[part * first_.rows.size() + place].lost) return true;
  }
  return false;
}

// The words that are left, those of the k best lower bounds first; false if the list was too short.
bool Screening::collect(std::size_t place, float threshold) {
  left_.clear();
  for (std::size_t part = 0; part < parts_; ++part) {
    const Survivors& survivors = first_.survivors[part * first_.rows.size() + place];
    if (survivors.lost) return false;
    for (std::size_t i = 0; i < survivors.count; ++i) {
      const Scored& word = survivors.kept[i];
      if (is_near(*model_.screened, first_.screened[place], word, threshold)) left_.push_back(word);
    }
  }
  if (left_.size() > kScreenEntries) return false;  // as if one thread had looked at all words
  const auto by_token = [](const Scored& a, const Scored& b) { return a.token < b.token; };
  std::sort(left_.begin(), left_.end(), by_token);
  std::sort(best_.begin(), best_.end(), by_token);
  std::stable_partition(left_.begin(), left_.end(), [&](const Scored& word) {
    return std::binary_search(best_.begin(), best_.end(), word, by_token);
  });
  return true;
}

// Exact logits of the words from `first` on.
void Screening::compute(Scratch& scratch, const float* x, std::size_t first) {
  exact_.resize(left_.size());
  ExactArgs args{};
  args.weight = &*model_.screened;
  args.x = x;
  args.tokens = left_.data() + first;
  args.count = left_.size() - first;
  args.logits = exact_.data() + first;
  scratch.kernels.exact_logits(args);
}

// The words that must be exact, with their logits; false if they are too many.
bool Screening::resolve(Scratch& scratch, const float* x, std::size_t place, double coarse) {
  std::vector<Scored> rest(left_.begin() + static_cast<std::ptrdiff_t>(k_), left_.end());
  left_.resize(k_);
  compute(scratch, x, 0);
  // The k-th best of them is a higher threshold than the bounds have given.
  const float threshold = *std::min_element(exact_.begin(), exact_.end());
  const auto likely = static_cast<float>(coarse + std::log(kExactShare));
  for (const Scored& word : rest) {
    if (word.logit >= likely || may_reach(*model_.screened, first_.screened[place], word, threshold))
      left_.push_back(word);
  }
  if (left_.size() > std::min(kMostExact, model_.config.vocab_size / 8)) return false;
  compute(scratch, x, k_);
  return true;
}

void Screening::finish(Scratch& scratch, const float* x, const ScreenAsk& ask, std::size_t place) {
  const std::size_t row = first_.rows[place], chunks = model_.vocab_chunks();
  ScreenedFind& find = finds_[row];
  const double coarse = combine(first_.partial.data() + place * chunks, chunks);
  if (!std::isfinite(coarse) || !resolve(scratch, x, place, coarse)) return;
  if (!normalize(scratch, place, coarse, find)) return;
  find.found = true;
  find.best.clear();
  const std::int32_t target = (*ask.targets)[row];
  if (target >= 0) {
    left_.assign(1, {0.0f, target});
    compute(scratch, x, 0);
    find.best.push_back({exact_[0], target});
    return;
  }
  const std::vector<std::int32_t>& banned = (*ask.banned)[row];
  for (std::size_t i = 0; i < left_.size(); ++i) {
    const std::int32_t token = left_[i].token;
    const auto bit = static_cast<std::size_t>(token);
    if ((ask.allowed[bit / kBlock] >> bit % kBlock & 1) == 0) continue;
    if (!std::binary_search(banned.begin(), banned.end(), token)) find.best.push_back({exact_[i], token});
  }
  std::sort(find.best.begin(), find.best.end(), ranks_before);
  if (find.best.size() > ask.k) find.best.resize(ask.k);
}

// The log-sum-exp with the exact logits in place of the approximate ones; false if rounding leaves nothing.
bool Screening::normalize(Scratch& scratch, std::size_t place, double coarse, ScreenedFind& find) {
  const std::size_t count = left_.size();
  approximate_.resize(count);
  powers_.resize(count);
  for (std::size_t i = 0; i < count; ++i) approximate_[i] = left_[i].logit;
  const auto shift = static_cast<float>(coarse);
  const double all = std::exp(coarse - static_cast<double>(shift));
  scratch.kernels.exponentials(approximate_.data(), count, shift, 1.0f, powers_.data());
  double tail = all;
  for (std::size_t i = 0; i < count; ++i) tail -= powers_[i];
  tail = std::max(tail, 0.0);
  scratch.kernels.exponentials(exact_.data(), count, shift, 1.0f, powers_.data());
  double sum = tail;
  for (std::size_t i = 0; i < count; ++i) sum += powers_[i];
  if (!(kMostCancelled * sum >= all)) return false;
  find.log_sum_exp = static_cast<double>(shift) + std::log(sum);
  const double share = tail / sum;
  // What is left of `all` may be rounding: the tail is no larger than this.
  const double most_share = (tail + kTailRounding * all) / sum;
  find.error =
      std::log1p(most_share * std::expm1(static_cast<double>(largest_error_[place])) + kTailRounding * all / sum) +
      kShiftRounding * std::fabs(coarse);
  // As if the roundings that a bound adds up were independent.
  const double inputs = static_cast<double>(model_.config.hidden_size);
  const double least =
      static_cast<double>(*std::min_element(exact_.begin(), exact_.begin() + static_cast<std::ptrdiff_t>(k_)));
  const double most = std::min(kExactShare, std::exp(least - find.log_sum_exp));  // probability of a word in the tail
  find.spread = std::min(share, kSharedRounding * std::sqrt(share * most)) *
                error_of(model_.screened->mean_error, first_.screened[place]) / std::sqrt(inputs);
  return true;
}

// Rows as the decoder's last norm makes them, of numbers that are close to normal.
AlignedVector<float> trial_rows(const Model& model, std::size_t rows) {
  const std::size_t size = model.config.hidden_size;
  AlignedVector<float> x(rows * size);
  PhiloxDraw draw{};
  draw.purpose = kTrialPurpose;
  for (std::size_t row = 0; row < rows; ++row) {
    draw.request_id = row;
    fill_normals(draw, size, x.data() + row * size);
    for (std::size_t c = 0; c < size; ++c) {
      float& value = x[row * size + c];
      value = value * model.decoder_norm.weight[c] + model.decoder_norm.bias[c];
    }
  }
  return x;
}

void add_screen(Model& model, const float* weight, const float* bias) {
  model.screened = screen(weight, model.config.vocab_size, model.config.hidden_size, bias, model.kernels->int8_range);
  const AlignedVector<float> x = trial_rows(model, kTrialRows);
  const std::vector<std::uint64_t> allowed(model.vocabulary.padded / kBlock, ~std::uint64_t{0});
  const std::vector<std::vector<std::int32_t>> banned(kTrialRows);
  const std::vector<std::int32_t> targets(kTrialRows, -1);
  Scratch scratch(*model.kernels);
  Team team(1);
  Screening screening(model);
  screening.run(scratch, team, x.data(), kTrialRows, {allowed.data(), &banned, &targets, kTrialBest});
  std::size_t found = 0;
  for (std::size_t row = 0; row < kTrialRows; ++row) found += screening.find(row).found ? 1 : 0;
  const double rows = kTrialRows, again = static_cast<double>(screening.scanned_again()) / rows;
  const double dense = 1.0 - static_cast<double>(found) / rows;
  if (kPassTime * (1.0 + again) + dense > kMostTime) model.screened.reset();
}

}  // namespace mime_fast
