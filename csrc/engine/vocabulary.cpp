#include "engine/vocabulary.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mime_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

VocabularyLookup::VocabularyLookup(const Model& model, const std::vector<std::uint8_t>& suppressed, bool screened)
    : model_(model), allowed_(model.vocabulary.padded / kBlock, 0) {
  for (std::size_t token = 0; token < model.config.vocab_size; ++token) {
    if (suppressed.empty() || suppressed[token] == 0) allowed_[token / kBlock] |= std::uint64_t{1} << token % kBlock;
  }
  if (!screened || !model.screened) return;
  screening_ = std::make_unique<Screening>(model);
  rest_ = std::make_unique<VocabularyLookup>(model, suppressed, false);
}

void VocabularyLookup::add(std::vector<std::int32_t> banned, std::int32_t target, float before) {
  banned_.push_back(std::move(banned));
  before_.push_back(before);
  targets_.push_back(target);
}

// One more shows whether the sums of others may equal the last one's.
std::size_t VocabularyLookup::wanted() const { return std::min(by_sums_ ? k_ + 1 : k_, model_.config.vocab_size); }

void VocabularyLookup::prepare_tops(std::size_t parts) {
  const std::size_t k = wanted();
  const std::size_t capacity = std::clamp<std::size_t>(top_capacity(k), 1, model_.vocabulary.padded + kBlock);
  tops_.assign(parts * rows(), TopTokens{});
  if (kept_.size() < parts * rows() * capacity) kept_.resize(parts * rows() * capacity);
  for (std::size_t i = 0; i < tops_.size(); ++i) {
    const std::size_t row = i % rows();
    tops_[i].k = k;
    tops_[i].capacity = capacity;
    tops_[i].kept = kept_.data() + i * capacity;
    tops_[i].threshold = targets_[row] >= 0 || k == 0 ? kInfinity : -kInfinity;
    tops_[i].banned = banned_[row].data();
    tops_[i].num_banned = banned_[row].size();
  }
}

void VocabularyLookup::run(Scratch& scratch, Team& team, const float* x, KeepLogits keep) {
  kept_logits_ = keep;
  ran_screened_ = screening_ != nullptr && keep != KeepLogits::kAll && wanted() <= kSortedK;
  if (ran_screened_) {
    run_screened(scratch, team, x, keep);
    return;
  }
  const bool with_logits = keep != KeepLogits::kNone;
  const std::size_t chunks = model_.vocab_chunks();
  const std::size_t parts = chunks > 1 ? team.size() : 1;
  prepare_tops(parts);
  target_logits_.assign(rows(), 0.0f);
  partial_.resize(rows() * chunks);
  log_sum_exp_.resize(rows());
  if (with_logits) logits_.resize(rows() * model_.vocabulary.padded);
  const Rows prepared = scratch.prepared(model_.vocabulary, {x, model_.config.hidden_size}, rows());
  look(scratch, team, prepared, parts, with_logits ? logits_.data() : nullptr);
  merge(parts);
  for (std::size_t row = 0; by_sums_ && row < rows(); ++row) cut_row(scratch, row, prepared);
}

const float* VocabularyLookup::logits(std::size_t row) const {
  if (kept_logits_ == KeepLogits::kNone) return nullptr;
  if (!ran_screened_) return logits_.data() + row * model_.vocabulary.padded;
  const auto place = std::lower_bound(left_.begin(), left_.end(), row);
  if (place == left_.end() || *place != row) return nullptr;
  return rest_->logits(static_cast<std::size_t>(place - left_.begin()));
}

void VocabularyLookup::run_screened(Scratch& scratch, Team& team, const float* x, KeepLogits keep) {
  const ScreenAsk ask{allowed_.data(), &banned_, &targets_, wanted()};
  prepare_tops(1);
  log_sum_exp_.resize(rows());
  screening_->run(scratch, team, x, rows(), ask);
  left_.clear();
  for (std::size_t row = 0; row < rows(); ++row) {
    const ScreenedFind& find = screening_->find(row);
    if (!find.found) {
      left_.push_back(row);
      continue;
    }
    std::copy(find.best.begin(), find.best.end(), tops_[row].kept);
    tops_[row].count = find.best.size();
    log_sum_exp_[row] = find.log_sum_exp;
    if (by_sums_)
      cut_row(scratch, row, {reinterpret_cast<const std::uint32_t*>(x), model_.config.hidden_size, nullptr, nullptr});
  }
  if (!left_.empty()) run_rest(scratch, team, x, keep);
}

void VocabularyLookup::run_rest(Scratch& scratch, Team& team, const float* x, KeepLogits keep) {
  const std::size_t size = model_.config.hidden_size;
  left_x_.resize(left_.size() * size);
  rest_->clear(k_, by_sums_);
  for (std::size_t i = 0; i < left_.size(); ++i) {
    std::copy_n(x + left_[i] * size, size, left_x_.data() + i * size);
    rest_->add(banned_[left_[i]], targets_[left_[i]], before_[left_[i]]);
  }
  rest_->run(scratch, team, left_x_.data(), keep);
  for (std::size_t i = 0; i < left_.size(); ++i) {
    TopTokens& top = tops_[left_[i]];
    std::copy_n(rest_->best(i), rest_->count(i), top.kept);
    top.count = rest_->count(i);
    log_sum_exp_[left_[i]] = rest_->log_sum_exp(i);
  }
}

void VocabularyLookup::look(Scratch& scratch, Team& team, const Rows& x, std::size_t parts, float* logits) {
  const std::size_t chunks = model_.vocab_chunks();
  const auto compute = [&](std::size_t first, std::size_t last, std::size_t part) {
    VocabArgs args{};
    args.weight = &model_.vocabulary;
    args.allowed = allowed_.data();
    args.x = x;
    args.rows = rows();
    args.top = tops_.data() + part * rows();
    args.targets = targets_.data();
    args.target_logits = target_logits_.data();
    args.partial = partial_.data();
    args.chunks = chunks;
    args.first_chunk = first;
    args.last_chunk = last;
    args.logits = logits;
    scratch.kernels.vocab_topk(args);
  };
  if (parts == 1) {
    compute(0, chunks, 0);
  } else {
    team.run(chunks, [&](std::size_t chunk, std::size_t member) { compute(chunk, chunk + 1, member); });
  }
}

void VocabularyLookup::merge(std::size_t parts) {
  const std::size_t chunks = model_.vocab_chunks();
  for (std::size_t row = 0; row < rows(); ++row) {
    TopTokens& top = tops_[row];
    prune(top);
    if (parts > 1) merge_row(row, parts);
    if (targets_[row] >= 0) {
      top.kept[0] = {target_logits_[row], targets_[row]};
      top.count = 1;
    }
    log_sum_exp_[row] = combine(partial_.data() + row * chunks, chunks);
  }
}

// The k best of all parts, which may have any tokens.
void VocabularyLookup::merge_row(std::size_t row, std::size_t parts) {
  TopTokens& top = tops_[row];
  merged_.assign(top.kept, top.kept + top.count);
  for (std::size_t part = 1; part < parts; ++part) {
    TopTokens& other = tops_[part * rows() + row];
    prune(other);
    merged_.insert(merged_.end(), other.kept, other.kept + other.count);
  }
  std::sort(merged_.begin(), merged_.end(), ranks_before);
  top.count = std::min(merged_.size(), top.k);
  std::copy_n(merged_.begin(), top.count, top.kept);
}

void VocabularyLookup::cut_row(const Scratch& scratch, std::size_t row, const Rows& x) {
  TopTokens& top = tops_[row];
  const RowSums sums{before_[row], log_sum_exp_[row]};
  if (targets_[row] >= 0 || !std::isfinite(sums.log_sum_exp)) return;
  if (!is_clear(top.kept, top.count, k_, sums)) choose_of_all(scratch, row, x, sums);
  top.count = std::min(top.count, k_);
}

// Rare, so that the row's logits are computed once more.
void VocabularyLookup::choose_of_all(const Scratch& scratch, std::size_t row, const Rows& x, const RowSums& sums) {
  again_.resize(model_.vocabulary.padded);
  std::vector<PartialSum> partial(model_.vocab_chunks());
  TopTokens none{};
  none.threshold = kInfinity;
  VocabArgs args{};
  args.weight = &model_.vocabulary;
  args.allowed = allowed_.data();
  args.x = {x.words + row * x.stride, x.stride, x.scale == nullptr ? nullptr : x.scale + row,
            x.along == nullptr ? nullptr : x.along + row};
  args.rows = 1;
  args.top = &none;
  args.partial = partial.data();
  args.chunks = args.last_chunk = partial.size();
  args.logits = again_.data();
  scratch.kernels.vocab_topk(args);
  merged_.clear();
  for (std::size_t token = 0; token < model_.config.vocab_size; ++token) {
    const auto id = static_cast<std::int32_t>(token);
    if ((allowed_[token / kBlock] >> token % kBlock & 1) == 0 || !(again_[token] > -kInfinity)) continue;
    if (!std::binary_search(banned_[row].begin(), banned_[row].end(), id)) merged_.push_back({again_[token], id});
  }
  cut_by_sums(merged_, k_, sums);
  std::copy(merged_.begin(), merged_.end(), tops_[row].kept);
}

}  // namespace mime_fast
