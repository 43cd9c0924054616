// Many dialogues on some threads: each takes dialogues from one queue, and fills the places of finished ones from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/encode.h"
#include "engine/search.h"

namespace mime_fast {

// The model cannot answer, or not `dialogues`; the message is meant for the user.
struct ModelError : std::runtime_error {
  explicit ModelError(const std::string& message, std::vector<std::size_t> where = {})
      : std::runtime_error(message), dialogues(std::move(where)) {}
  std::vector<std::size_t> dialogues;
};
// The options leave no response; `dialogues` says for whom.
struct NoResponse : std::runtime_error {
  explicit NoResponse(std::vector<std::size_t> where)
      : std::runtime_error("no response"), dialogues(std::move(where)) {}
  std::vector<std::size_t> dialogues;
};

struct RunOptions {
  std::size_t threads = 1;
  std::size_t batch_size = 64;  // dialogues that a thread decodes together
  // Asked between steps; `on_caller` says whether it is the thread that called. True ends the run by a ModelError.
  std::function<bool(bool on_caller)> should_stop;
};

void run_classify(const Model& model, const RunOptions& run, const Contexts& contexts, std::size_t count,
                  float* emotion_logits);

// [count, 2C].
void run_context_vectors(const Model& model, const RunOptions& run, const Contexts& contexts, std::size_t count,
                         float* vectors);

// Everything up to the decoder, for what is recognised.
void run_hear(const Model& model, const RunOptions& run, const Contexts& contexts, const Requests& requests,
              std::size_t count, const EmotionOutputs& outputs);

// Replies of each dialogue, best first. prefixes: [count], or empty.
std::vector<std::vector<Reply>> run_generate(const Model& model, const RunOptions& run, const SearchOptions& options,
                                             const Contexts& contexts, const Requests& requests,
                                             const std::vector<std::vector<std::int32_t>>& prefixes, std::size_t count,
                                             const EmotionOutputs& outputs);

// Log-probs of given replies, flat; target_offsets [count + 1]. dense: of a screened model, too, float32's own.
void run_score(const Model& model, const RunOptions& run, const Contexts& contexts, const Requests& requests,
               const std::int32_t* targets, const std::int64_t* target_offsets, bool dense, std::size_t count,
               const EmotionOutputs& outputs, float* logprobs);

}  // namespace mime_fast
