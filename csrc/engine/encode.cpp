#include "engine/encode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "engine/encoder.h"
#include "engine/response_emotion.h"

namespace mime_fast {
namespace {

struct Encoded {
  Layout layout;
  AlignedVector<float> hidden;  // H, [rows, C]
  AlignedVector<float> first;   // c, [N, C]
};

Encoded encode_contexts(const Model& model, Scratch& scratch, const Contexts& contexts, const std::size_t* which,
                        std::size_t count) {
  const std::size_t size = model.config.hidden_size;
  Encoded encoded;
  Layout& layout = encoded.layout;
  for (std::size_t n = 0; n < count; ++n) {
    const std::int64_t* offset = contexts.offsets + which[n];
    layout.first.push_back(layout.rows() + static_cast<std::size_t>(offset[1] - offset[0]));
  }
  const std::size_t rows = layout.rows();
  layout.real.resize(rows);
  float* x = scratch.hidden.need(rows * size);
  for (std::size_t n = 0; n < count; ++n) {
    const std::int64_t start = contexts.offsets[which[n]];
    for (std::size_t i = 0; i < layout.length(n); ++i) {
      const std::size_t row = layout.first[n] + i;
      const auto token = static_cast<std::size_t>(contexts.token_ids[start + static_cast<std::int64_t>(i)]);
      const std::int32_t state = contexts.state_ids[start + static_cast<std::int64_t>(i)];
      const auto speaker = static_cast<std::size_t>(state - kUserId);
      layout.real[row] = token != static_cast<std::size_t>(kPadId);
      const float* word = model.context_words.data() + token * size;
      const float* who = model.context_speakers.data() + speaker * size;
      const float* position = model.positions.data() + i * size;
      for (std::size_t c = 0; c < size; ++c) x[row * size + c] = word[c] + who[c] + position[c];
    }
  }
  encoded.hidden.resize(rows * size);
  run_encoder(model, scratch, model.context_encoder, layout, x, encoded.hidden.data(), size);
  for (std::size_t n = 0; n < count; ++n) {
    const float* c = encoded.hidden.data() + layout.first[n] * size;
    encoded.first.insert(encoded.first.end(), c, c + size);
  }
  return encoded;
}

// s of eq. 4, or what takes its place, [N, 32].
AlignedVector<float> emotion_logits(const Model& model, Scratch& scratch, const Encoded& encoded) {
  const std::size_t size = model.config.hidden_size, count = encoded.layout.count();
  AlignedVector<float> logits(count * kEmotions);
  scratch.linear(model.emotion_logits, {encoded.first.data(), size}, count, logits.data(), kEmotions);
  return logits;
}

// Whose emotions m and m~ mix (eq. 18-19).
std::array<const EmotionGroup*, 2> mimicry(const Model& model, std::int32_t mimicked) {
  std::array<const EmotionGroup*, 2> groups{&model.groups.front(), &model.groups.back()};
  if (model.config.emotion_mimicry && !model.config.is_positive(mimicked)) std::swap(groups[0], groups[1]);
  return groups;
}

// M or M~ (eq. 15, 20-23) into out, with each dialogue's group and d_g [N, 32], and W_h H [rows, C].
void refine(const Model& model, Scratch& scratch, const Encoder& encoder, const Layout& layout,
            const std::vector<const EmotionGroup*>& groups, const AlignedVector<float>& weights, const float* base,
            float* out, std::size_t out_stride) {
  const std::size_t size = model.config.hidden_size;
  AlignedVector<float> shift(size);
  float* x = scratch.hidden.need(layout.rows() * size);
  for (std::size_t n = 0; n < layout.count(); ++n) {
    std::fill(shift.begin(), shift.end(), 0.0f);
    for (const std::int32_t emotion : groups[n]->emotions) {
      const float weight = weights[n * kEmotions + static_cast<std::size_t>(emotion)];
      const float* part = encoder.emotion_parts.data() + static_cast<std::size_t>(emotion) * size;
      for (std::size_t c = 0; c < size; ++c) shift[c] += weight * part[c];
    }
    for (std::size_t i = 0; i < layout.length(n); ++i) {
      const std::size_t row = (layout.first[n] + i) * size;
      for (std::size_t c = 0; c < size; ++c) x[row + c] = base[row + c] + shift[c] + model.positions[i * size + c];
    }
  }
  run_encoder(model, scratch, encoder, layout, x, out, out_stride);
}

// The rows that refinement reads: all, or those after CTX.
Layout words_only(const Layout& layout) {
  Layout words;
  for (std::size_t n = 0; n < layout.count(); ++n) {
    words.first.push_back(words.rows() + layout.length(n) - 1);
    words.real.insert(words.real.end(), layout.real.begin() + static_cast<std::ptrdiff_t>(layout.first[n] + 1),
                      layout.real.begin() + static_cast<std::ptrdiff_t>(layout.first[n + 1]));
  }
  return words;
}

AlignedVector<float> without_ctx(const Encoded& encoded, std::size_t size) {
  AlignedVector<float> words;
  words.reserve(encoded.hidden.size());
  for (std::size_t n = 0; n < encoded.layout.count(); ++n) {
    const float* hidden = encoded.hidden.data();
    words.insert(words.end(), hidden + (encoded.layout.first[n] + 1) * size,
                 hidden + encoded.layout.first[n + 1] * size);
  }
  return words;
}

// M_fused (eq. 24-27) [rows, C], or what it is made of, [rows, 2C], where the decoder reads that; the words' shares and
// their mean go to the dialogues' places.
const float* fuse(const Model& model, Scratch& scratch, const Layout& layout, float* both, const Contexts& contexts,
                  const std::size_t* which, const EmotionOutputs& outputs) {
  const std::size_t size = model.config.hidden_size, rows = layout.rows();
  float* gate = scratch.gate.need(rows * 2 * size);
  scratch.linear(model.fc_contrib, {both, 2 * size}, rows, gate, 2 * size, {Activation::kSigmoid});
  AlignedVector<float> shares(rows);
  scratch.kernels.apply_gate(gate, both, rows, size, shares.data());
  const std::size_t begin = model.config.drop_ctx ? 0 : 1;  // of the words, which come after CTX
  for (std::size_t n = 0; n < layout.count(); ++n) {
    float total = 0;
    std::size_t words = 0;
    for (std::size_t i = begin; i < layout.length(n); ++i) {
      if (layout.real[layout.first[n] + i] == 0) continue;
      total += shares[layout.first[n] + i];
      ++words;
    }
    outputs.mimic_share[which[n]] = total / static_cast<float>(words);
    if (outputs.mimic_shares == nullptr) continue;
    std::copy_n(shares.data() + layout.first[n] + begin, layout.length(n) - begin,
                outputs.mimic_shares + contexts.offsets[which[n]] + 1);
  }
  if (!model.fc_fused) return both;
  float* fused = scratch.base.need(rows * size);
  scratch.linear(*model.fc_fused, {both, 2 * size}, rows, fused, size);
  return fused;
}

// Eq. 7-27, as `fuse` returns it; of `encoded` stay the rows that refinement reads.
const float* refine_and_fuse(const Model& model, Scratch& scratch, Encoded& encoded, const Contexts& contexts,
                             const Requests& requests, const std::size_t* which, const EmotionOutputs& outputs) {
  const std::size_t size = model.config.hidden_size, count = encoded.layout.count();
  const AlignedVector<float> weights = sample(model, scratch, encoded.first, requests, which);
  std::array<std::vector<const EmotionGroup*>, 2> groups;
  for (std::size_t n = 0; n < count; ++n) {
    std::copy_n(weights.data() + n * kEmotions, kEmotions, outputs.weights + which[n] * kEmotions);
    const auto chosen = mimicry(model, outputs.mimicked[which[n]]);
    for (std::size_t branch = 0; branch < 2; ++branch) groups[branch].push_back(chosen[branch]);
  }
  if (model.config.drop_ctx) {
    encoded.hidden = without_ctx(encoded, size);
    encoded.layout = words_only(encoded.layout);
  }
  const Layout& layout = encoded.layout;
  float* both = scratch.both.need(layout.rows() * 2 * size);
  float* base = scratch.base.need(layout.rows() * size);
  for (std::size_t branch = 0; branch < 2; ++branch) {
    const Encoder& encoder = model.response_encoders[std::min(branch, model.response_encoders.size() - 1)];
    if (branch == 0 || model.response_encoders.size() > 1) {
      scratch.linear(encoder.projection, {encoded.hidden.data(), size}, layout.rows(), base, size);
    }
    refine(model, scratch, encoder, layout, groups[branch], weights, base, both + branch * size, 2 * size);
  }
  return fuse(model, scratch, layout, both, contexts, which, outputs);
}

}  // namespace

std::size_t encode_together(const Contexts& contexts, const std::size_t* which, std::size_t count) {
  constexpr std::int64_t kRows = 512;
  std::int64_t rows = 0;
  std::size_t together = 0;
  for (; together < count; ++together) {
    rows += contexts.offsets[which[together] + 1] - contexts.offsets[which[together]];
    if (together > 0 && rows > kRows) break;
  }
  return together;
}

void classify(const Model& model, Scratch& scratch, const Contexts& contexts, const std::size_t* which,
              std::size_t count, float* logits) {
  const Encoded encoded = encode_contexts(model, scratch, contexts, which, count);
  const AlignedVector<float> found = emotion_logits(model, scratch, encoded);
  for (std::size_t n = 0; n < count; ++n) {
    std::copy_n(found.data() + n * kEmotions, kEmotions, logits + which[n] * kEmotions);
  }
}

void context_vectors(const Model& model, Scratch& scratch, const Contexts& contexts, const std::size_t* which,
                     std::size_t count, float* vectors) {
  const std::size_t size = model.config.hidden_size;
  const Encoded encoded = encode_contexts(model, scratch, contexts, which, count);
  const Layout& layout = encoded.layout;
  for (std::size_t n = 0; n < count; ++n) {
    float* c = vectors + which[n] * 2 * size;
    std::copy_n(encoded.first.data() + n * size, size, c);
    float* mean = c + size;
    std::fill_n(mean, size, 0.0f);
    std::size_t positions = 0;
    for (std::size_t row = layout.first[n]; row < layout.first[n + 1]; ++row) {
      if (layout.real[row] == 0) continue;
      const float* hidden = encoded.hidden.data() + row * size;
      for (std::size_t i = 0; i < size; ++i) mean[i] += hidden[i];
      ++positions;
    }
    for (std::size_t i = 0; i < size; ++i) mean[i] /= static_cast<float>(positions);
  }
}

std::vector<Memory> encode(const Model& model, Scratch& scratch, const Contexts& contexts, const Requests& requests,
                           const std::size_t* which, std::size_t count, const EmotionOutputs& outputs) {
  Encoded encoded = encode_contexts(model, scratch, contexts, which, count);
  const AlignedVector<float> logits = emotion_logits(model, scratch, encoded);
  for (std::size_t n = 0; n < count; ++n) {
    const float* row = logits.data() + n * kEmotions;
    const std::int32_t given = requests.emotions[which[n]];
    const auto guess = static_cast<std::int32_t>(std::max_element(row, row + kEmotions) - row);
    outputs.mimicked[which[n]] = given >= 0 ? given : guess;
    std::copy_n(row, kEmotions, outputs.emotion_logits + which[n] * kEmotions);
  }
  if (model.config.model_type != ModelType::kMime) {
    return remember(model, scratch, encoded.layout, encoded.hidden.data(), logits.data());
  }
  const float* fused = refine_and_fuse(model, scratch, encoded, contexts, requests, which, outputs);
  return remember(model, scratch, encoded.layout, fused, logits.data());
}

}  // namespace mime_fast
