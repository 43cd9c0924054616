#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "engine/queue.h"
#include "engine/run.h"
#include "engine/vocabulary.h"

namespace mime_fast {
namespace {

constexpr std::size_t kEncodeTogether = 8;

// Log-probs of the targets of some dialogues; what is beyond kMaxVocabRows rows goes block by block.
class Scorer {
 public:
  Scorer(const Model& model, Queue& queue, bool on_caller, bool dense)
      : model_(model),
        queue_(queue),
        on_caller_(on_caller),
        scratch_(*model.kernels),
        team_(queue.team_size(model.vocab_chunks())),
        lookup_(model, {}, !dense) {}

  Scratch& scratch() { return scratch_; }

  void add(Memory&& memory, const std::int32_t* targets, std::size_t length, float* logprobs) {
    pairs_.push_back(std::make_unique<Pair>(model_, std::move(memory)));
    Pair& pair = *pairs_.back();
    std::int32_t node = 0;
    for (std::size_t t = 0; t < length; ++t) {
      rows_.push_back({&pair.tree, &pair.memory, node, static_cast<std::int32_t>(t)});
      wanted_.push_back({targets[t], logprobs + t});
      if (t + 1 < length) node = pair.tree.add(node, targets[t], 0.0f);
    }
  }

  std::size_t rows() const { return rows_.size(); }

  void run() {
    const std::size_t size = model_.config.hidden_size;
    float* out = out_.need(rows_.size() * size);
    queue_.check(on_caller_);
    decode(model_, scratch_, rows_, out);
    for (std::size_t first = 0; first < rows_.size(); first += kMaxVocabRows) {
      queue_.check(on_caller_);
      const std::size_t last = std::min(rows_.size(), first + kMaxVocabRows);
      lookup_.clear(0);
      for (std::size_t row = first; row < last; ++row) lookup_.add({}, wanted_[row].token);
      lookup_.run(scratch_, team_, out + first * size, KeepLogits::kNone);
      for (std::size_t row = first; row < last; ++row) {
        const double log_sum_exp = lookup_.log_sum_exp(row - first);
        *wanted_[row].logprob = std::isfinite(log_sum_exp)
                                    ? static_cast<float>(lookup_.best(row - first)->logit - log_sum_exp)
                                    : std::numeric_limits<float>::quiet_NaN();
      }
    }
    pairs_.clear();
    rows_.clear();
    wanted_.clear();
  }

 private:
  struct Pair {
    Pair(const Model& model, Memory&& memory) : memory(std::move(memory)), tree(model, this->memory.layers.size()) {}
    Memory memory;
    Tree tree;
  };
  struct Wanted {
    std::int32_t token;
    float* logprob;
  };

  const Model& model_;
  Queue& queue_;
  bool on_caller_;
  Scratch scratch_;
  Team team_;
  VocabularyLookup lookup_;
  std::vector<std::unique_ptr<Pair>> pairs_;
  std::vector<Row> rows_;
  std::vector<Wanted> wanted_;
  Buffer out_;
};

}  // namespace

void run_score(const Model& model, const RunOptions& run, const Contexts& contexts, const Requests& requests,
               const std::int32_t* targets, const std::int64_t* target_offsets, bool dense, std::size_t count,
               const EmotionOutputs& outputs, float* logprobs) {
  Queue queue(run, count);
  queue.run([&](bool on_caller) {
    Scorer scorer(model, queue, on_caller, dense);
    for (;;) {
      const auto taken = queue.take(std::min(kEncodeTogether, queue.capacity()));
      for (std::size_t first = 0; first < taken.size();) {
        queue.check(on_caller);
        const std::size_t* which = taken.data() + first;
        const std::size_t together = encode_together(contexts, which, taken.size() - first);
        auto memories = encode(model, scorer.scratch(), contexts, requests, which, together, outputs);
        for (std::size_t i = 0; i < together; ++i) {
          const std::int64_t start = target_offsets[which[i]];
          const auto length = static_cast<std::size_t>(target_offsets[which[i] + 1] - start);
          scorer.add(std::move(memories[i]), targets + start, length, logprobs + start);
          if (scorer.rows() >= kMaxVocabRows * 3 / 4) scorer.run();
        }
        first += together;
      }
      if (taken.empty() && scorer.rows() > 0) scorer.run();
      if (taken.empty()) return;
    }
  });
}

namespace {

// `work` on the dialogues `which` [count], as many at once as are encoded together, until none is left.
template <typename Work>
void run_encodings(const Model& model, const RunOptions& run, const Contexts& contexts, std::size_t count, Work work) {
  Queue queue(run, count);
  queue.run([&](bool on_caller) {
    Scratch scratch(*model.kernels);
    for (;;) {
      const auto taken = queue.take(std::min(kEncodeTogether, queue.capacity()));
      if (taken.empty()) return;
      for (std::size_t first = 0; first < taken.size();) {
        queue.check(on_caller);
        const std::size_t together = encode_together(contexts, taken.data() + first, taken.size() - first);
        work(scratch, taken.data() + first, together);
        first += together;
      }
    }
  });
}

}  // namespace

void run_classify(const Model& model, const RunOptions& run, const Contexts& contexts, std::size_t count,
                  float* emotion_logits) {
  run_encodings(model, run, contexts, count, [&](Scratch& scratch, const std::size_t* which, std::size_t together) {
    classify(model, scratch, contexts, which, together, emotion_logits);
  });
}

void run_context_vectors(const Model& model, const RunOptions& run, const Contexts& contexts, std::size_t count,
                         float* vectors) {
  run_encodings(model, run, contexts, count, [&](Scratch& scratch, const std::size_t* which, std::size_t together) {
    context_vectors(model, scratch, contexts, which, together, vectors);
  });
}

void run_hear(const Model& model, const RunOptions& run, const Contexts& contexts, const Requests& requests,
              std::size_t count, const EmotionOutputs& outputs) {
  run_encodings(model, run, contexts, count, [&](Scratch& scratch, const std::size_t* which, std::size_t together) {
    encode(model, scratch, contexts, requests, which, together, outputs);
  });
}

}  // namespace mime_fast
