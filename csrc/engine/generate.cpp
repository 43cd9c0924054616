#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "engine/dense_rows.h"
#include "engine/queue.h"
#include "engine/run.h"
#include "engine/shortlist.h"
#include "engine/vocabulary.h"

namespace mime_fast {
namespace {

constexpr std::size_t kEncodeTogether = 8;                 // dialogues
constexpr std::size_t kCandidates = std::size_t{1} << 20;  // of all rows between two looks at whether to stop
constexpr std::size_t kWaitingShare = 4;                   // of the dialogues, one of which may wait for dense rows
constexpr std::size_t kLongestWait = 16;                   // steps of the others

// A dialogue being decoded.
struct Slot {
  Slot(const Model& model, const SearchOptions& options, std::size_t index, Memory&& memory, Request&& request)
      : index(index),
        memory(std::move(memory)),
        tree(model, this->memory.layers.size()),
        normalizers(model.config.hidden_size),
        search(options, std::move(request), tree) {}

  std::size_t index;
  Memory memory;
  Tree tree;
  Normalizers normalizers;  // of a screened beam search
  Search search;
  bool waiting = false;  // for rows that must be computed densely
};

// Dialogues for which the model produced NaN, and at which step.
struct Broken {
  std::size_t step;
  std::size_t dialogue;
};

struct Job {
  const Model& model;
  const SearchOptions& options;
  const Contexts& contexts;
  const Requests& requests;
  const std::vector<std::vector<std::int32_t>>& prefixes;
  const EmotionOutputs& outputs;
  Queue& queue;
  std::vector<std::vector<Reply>>& replies;
  std::mutex mutex;  // of `broken`
  std::vector<Broken> broken;
};

// One thread's part of a job.
class Worker {
 public:
  Worker(Job& job, bool on_caller)
      : job_(job),
        on_caller_(on_caller),
        scratch_(*job.model.kernels),
        team_(job.queue.team_size(job.model.vocab_chunks())),
        lookup_(job.model, job.options.suppressed),
        dense_(job.model),
        doubting_(job.model.screened && job.options.beams() && !job.options.penalises()),
        drawn_from_(best_for_draw(job.options)),
        keep_(kept_logits(job.options)) {}

  void run() {
    for (;;) {
      fill();
      if (slots_.empty()) return;
      step();
      finish();
    }
  }

 private:
  // Dialogues that this thread decodes together: more rows than one look-up takes only leave the cache and make a step
  // long.
  std::size_t capacity() const {
    const std::size_t width = std::max(job_.options.num_beams, job_.options.num_return_sequences);
    return std::max<std::size_t>(1, std::min(job_.queue.capacity(), kMaxVocabRows / width));
  }

  // Rows that are decoded and looked up together; few of a search so wide that each gives thousands of candidates.
  std::size_t block_rows() const {
    return std::clamp<std::size_t>(kCandidates / job_.options.candidates(), 1, kMaxVocabRows);
  }

  // Encode dialogues for the free places, once an eighth of the places is free.
  void fill() {
    const std::size_t places = capacity();
    if (!slots_.empty() && places - slots_.size() < std::max<std::size_t>(1, places / 8)) return;
    while (slots_.size() < places) {
      const auto taken = job_.queue.take(std::min(kEncodeTogether, places - slots_.size()));
      if (taken.empty()) return;
      for (std::size_t first = 0; first < taken.size();) {
        job_.queue.check(on_caller_);
        const std::size_t count = encode_together(job_.contexts, taken.data() + first, taken.size() - first);
        add(taken.data() + first, count);
        first += count;
      }
    }
  }

  void add(const std::size_t* which, std::size_t count) {
    auto memories = encode(job_.model, scratch_, job_.contexts, job_.requests, which, count, job_.outputs);
    for (std::size_t i = 0; i < count; ++i) {
      Request request{job_.requests.seeds[which[i]], job_.requests.request_ids[which[i]],
                      job_.prefixes.empty() ? std::vector<std::int32_t>{} : job_.prefixes[which[i]]};
      slots_.push_back(
          std::make_unique<Slot>(job_.model, job_.options, which[i], std::move(memories[i]), std::move(request)));
    }
  }

  void step() {
    rows_.clear();
    owners_.clear();
    lives_.clear();
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      if (!slots_[s]->waiting) add_rows(s);
    }
    const std::size_t block = block_rows();
    float* out = out_.need(block * job_.model.config.hidden_size);
    for (std::size_t first = 0; first < rows_.size(); first += block) {
      job_.queue.check(on_caller_);
      const std::size_t last = std::min(rows_.size(), first + block);
      block_.assign(rows_.begin() + static_cast<std::ptrdiff_t>(first),
                    rows_.begin() + static_cast<std::ptrdiff_t>(last));
      decode(job_.model, scratch_, block_, out);
      look_up(first, last, out);
    }
    for (const auto& slot : slots_) {
      if (!slot->waiting) go_on(*slot);
    }
    waited_ = dense_.empty() ? 0 : waited_ + 1;
    while (!dense_.empty() && (waits_suffice() || waited_ >= kLongestWait)) compute_dense_rows();
  }

  // A row for each node that hypotheses of the dialogue end with.
  void add_rows(std::size_t s) {
    Slot& slot = *slots_[s];
    const std::vector<Live>& live = slot.search.live();
    const std::size_t first = lives_.size();
    lives_.resize(first + live.size());
    const auto begin = lives_.begin() + static_cast<std::ptrdiff_t>(first);
    std::iota(begin, lives_.end(), std::size_t{0});
    std::stable_sort(begin, lives_.end(), [&](std::size_t a, std::size_t b) { return live[a].node < live[b].node; });
    const auto position = static_cast<std::int32_t>(slot.search.step());
    for (std::size_t i = first; i < lives_.size(); ++i) {
      const std::int32_t node = live[lives_[i]].node;
      if (i > first && node == rows_.back().node) {
        ++owners_.back().count;
      } else {
        rows_.push_back({&slot.tree, &slot.memory, node, position});
        owners_.push_back({s, i, 1});
      }
    }
  }

  // Take the step, or wait for exact log-sum-exps where approximate ones may decide it otherwise.
  void go_on(Slot& slot) {
    job_.queue.check(on_caller_);
    if (doubting_) {
      for (const std::int32_t node : slot.search.doubts(slot.normalizers)) {
        wait({&slot, node, {}, {}, 0.0}, slot.normalizers.row(node));
      }
    }
    if (!slot.waiting) slot.search.advance();
  }

  // x: O of the row, [C].
  void wait(DenseRows<Slot>::Row row, const float* x) {
    row.owner->waiting = true;
    dense_.add(std::move(row), x);
  }

  // Dialogues wait for each other; what they say does not depend on it.
  bool waits_suffice() const {
    const auto waiting = std::count_if(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->waiting; });
    return static_cast<std::size_t>(waiting) * kWaitingShare >= slots_.size();
  }

  // out: O of the rows from first to last - 1.
  void look_up(std::size_t first, std::size_t last, const float* out) {
    const bool sampling = job_.options.do_sample;
    lookup_.clear(sampling ? drawn_from_ : job_.options.candidates(), job_.options.beams());
    for (std::size_t row = first; row < last; ++row) {
      const Search& search = slots_[owners_[row].slot]->search;
      const std::size_t live = lives_[owners_[row].first];
      lookup_.add(sampling ? search.banned(live) : search.set_apart(live), search.forced(), search.live()[live].total);
    }
    lookup_.run(scratch_, team_, out, keep_);
    for (std::size_t row = first; row < last; ++row) {
      Slot& slot = *slots_[owners_[row].slot];
      const std::size_t at = row - first;
      const float* x = out + at * job_.model.config.hidden_size;
      if (doubting_) slot.normalizers.keep(rows_[row].node, x, lookup_.log_sum_exp(at), lookup_.spread(at));
      if (!std::isfinite(lookup_.log_sum_exp(at))) {
        const std::lock_guard<std::mutex> lock(job_.mutex);
        job_.broken.push_back({slot.search.step(), slot.index});
        continue;
      }
      const std::size_t* lives = lives_.data() + owners_[row].first;
      if (sampling && slot.search.forced() < 0) {
        draw(slot, {lives, lives + owners_[row].count}, at, x);
      } else {
        for (std::size_t i = 0; i < owners_[row].count; ++i) offer(slot.search, lives[i], at);
      }
    }
  }

  // What the model says of a hypothesis whose row is the one at `at` of the look-up.
  void offer(Search& search, std::size_t live, std::size_t at) {
    const double log_sum_exp = lookup_.log_sum_exp(at);
    if (job_.options.penalises() && search.forced() < 0) {
      search.offer_penalised(live, lookup_.best(at), lookup_.count(at), lookup_.logits(at), log_sum_exp);
    } else {
      search.offer(live, lookup_.best(at), lookup_.count(at), log_sum_exp);
    }
  }

  // A draw for each of the hypotheses whose row it is: from the best words, or else from all logits, which a screened
  // row must be computed for. x: O of the row.
  void draw(Slot& slot, std::vector<std::size_t> lives, std::size_t at, const float* x) {
    const double log_sum_exp = lookup_.log_sum_exp(at);
    if (drawn_from_ > 0) {
      best_.assign(lookup_.best(at), lookup_.best(at) + lookup_.count(at));
      std::sort(best_.begin(), best_.end(), ranks_before);
      const auto list = shortlist_of_best(job_.options, best_.data(), best_.size(), drawn_from_, log_sum_exp,
                                          lookup_.proven_error(at));
      if (list) {
        const ShortDraws row(*list, job_.options);
        const auto decided = [&](std::size_t live) {
          job_.queue.check(on_caller_);
          return slot.search.offer_draw(live, row, log_sum_exp);
        };
        lives.erase(std::remove_if(lives.begin(), lives.end(), decided), lives.end());
      }
    }
    if (lives.empty()) return;
    const float* logits = lookup_.logits(at);
    if (logits == nullptr) {
      wait({&slot, 0, std::move(lives), lookup_.banned(at), log_sum_exp}, x);
    } else {
      draw_from_all(slot.search, lives, logits, log_sum_exp, lookup_.banned(at), log_sum_exp);
    }
  }

  // lives: hypotheses of the same words. offered: the log-sum-exp that their words get.
  void draw_from_all(Search& search, const std::vector<std::size_t>& lives, const float* logits, double log_sum_exp,
                     const std::vector<std::int32_t>& banned, double offered) {
    const auto said = job_.options.penalises() ? search.said(lives.front()) : std::vector<std::int32_t>{};
    RowDistribution row(job_.options, *job_.model.kernels, logits, job_.model.config.vocab_size, log_sum_exp, banned,
                        said);
    for (const std::size_t live : lives) {
      job_.queue.check(on_caller_);
      search.offer_draw(live, row, logits, offered);
    }
  }

  // All that is waited for; dialogues go on, and may wait again.
  void compute_dense_rows() {
    const auto check = [&] { job_.queue.check(on_caller_); };
    const auto use = [&](const DenseRows<Slot>::Row& row, double log_sum_exp, const float* logits) {
      if (logits == nullptr) {
        row.owner->normalizers.settle(row.node, log_sum_exp);
      } else {
        draw_from_all(row.owner->search, row.lives, logits, log_sum_exp, row.banned, row.log_sum_exp);
      }
    };
    dense_.run(scratch_, team_, doubting_ ? KeepLogits::kNone : KeepLogits::kAll, check, use);
    for (const auto& slot : slots_) {
      if (!slot->waiting) continue;
      slot->waiting = false;
      if (doubting_) slot->search.renew(slot->normalizers);
      go_on(*slot);
    }
  }

  void finish() {
    const auto done = [&](const std::unique_ptr<Slot>& slot) {
      if (!slot->search.live().empty()) return false;
      for (const Hypothesis& hypothesis : slot->search.results()) {
        job_.replies[slot->index].push_back(reply_of(slot->tree, hypothesis));
      }
      return true;
    };
    slots_.erase(std::remove_if(slots_.begin(), slots_.end(), done), slots_.end());
  }

  static KeepLogits kept_logits(const SearchOptions& options) {
    if (options.penalises()) return KeepLogits::kAll;
    if (!options.do_sample) return KeepLogits::kNone;
    return draws_are_short(options) ? KeepLogits::kWhereDense : KeepLogits::kAll;
  }

  // Whose row it is: of the hypotheses lives_[first] to lives_[first + count - 1] of a slot.
  struct Owner {
    std::size_t slot;
    std::size_t first;
    std::size_t count;
  };

  Job& job_;
  bool on_caller_;
  Scratch scratch_;
  Team team_;
  VocabularyLookup lookup_;
  DenseRows<Slot> dense_;
  std::size_t waited_ = 0;  // steps, since a row came to dense_
  bool doubting_;           // whether log-sum-exps may be approximate and decide
  std::size_t drawn_from_;  // best words of a row that a draw is tried from
  KeepLogits keep_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Row> rows_, block_;
  std::vector<Owner> owners_;
  std::vector<std::size_t> lives_;
  std::vector<Scored> best_;
  Buffer out_;
};

// The message names the dialogues of the earliest step at which the model produced NaN, the error all.
void refuse_nan(std::vector<Broken> broken) {
  if (broken.empty()) return;
  std::sort(broken.begin(), broken.end(), [](const Broken& a, const Broken& b) {
    return a.step != b.step ? a.step < b.step : a.dialogue < b.dialogue;
  });
  std::string dialogues;
  for (std::size_t i = 0; i < broken.size() && broken[i].step == broken[0].step; ++i) {
    if (i > 0 && broken[i].dialogue == broken[i - 1].dialogue) continue;
    dialogues += (i == 0 ? "" : ", ") + std::to_string(broken[i].dialogue);
  }
  std::vector<std::size_t> all;
  for (const Broken& each : broken) all.push_back(each.dialogue);
  throw ModelError("the model produced NaN at step " + std::to_string(broken[0].step) + " for dialogues [" + dialogues +
                       "] of this batch; log-probs must not be NaN",
                   std::move(all));
}

}  // namespace

std::vector<std::vector<Reply>> run_generate(const Model& model, const RunOptions& run, const SearchOptions& options,
                                             const Contexts& contexts, const Requests& requests,
                                             const std::vector<std::vector<std::int32_t>>& prefixes, std::size_t count,
                                             const EmotionOutputs& outputs) {
  std::vector<std::vector<Reply>> replies(count);
  Queue queue(run, count);
  Job job{model, options, contexts, requests, prefixes, outputs, queue, replies, {}, {}};
  queue.run([&](bool on_caller) { Worker(job, on_caller).run(); });
  refuse_nan(std::move(job.broken));
  std::vector<std::size_t> without;
  for (std::size_t i = 0; i < count; ++i) {
    if (replies[i].empty()) without.push_back(i);
  }
  if (!without.empty()) throw NoResponse(std::move(without));
  return replies;
}

}  // namespace mime_fast
