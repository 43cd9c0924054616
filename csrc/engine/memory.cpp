#include "engine/memory.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/response_emotion.h"

namespace mime_fast {
namespace {

// p of MoEL [32]: the softmax over the largest logits (equal ones by lowest index), 0 for those not used. Where a
// logit is NaN nobody is: the caller refuses the dialogue.
std::array<float, kEmotions> listener_weights(const ModelConfig& config, const float* logits) {
  std::array<float, kEmotions> weights{};
  if (std::any_of(logits, logits + kEmotions, [](float logit) { return std::isnan(logit); })) return weights;
  std::array<std::size_t, kEmotions> order{};
  for (std::size_t i = 0; i < kEmotions; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  std::array<float, kEmotions> likeliest{};
  for (std::size_t i = 0; i < config.top_listeners; ++i) likeliest[i] = logits[order[i]];
  softmax(likeliest.data(), config.top_listeners);
  for (std::size_t i = 0; i < config.top_listeners; ++i) {
    if (!(likeliest[i] <= config.min_listener_weight)) weights[order[i]] = likeliest[i];
  }
  return weights;
}

void choose_layers(const Model& model, const float* emotion_logits, Memory& memory) {
  if (!model.listeners.empty()) {
    const auto weights = listener_weights(model.config, emotion_logits);
    for (std::size_t i = 0; i < kEmotions; ++i) {
      if (weights[i] != 0.0f) memory.layers.push_back({i, weights[i]});
    }
    memory.layers.push_back({kEmotions, 1.0f});
  }
  for (std::size_t i = model.listeners.size(); i < model.layers(); ++i) memory.layers.push_back({i, 1.0f});
}

// A dialogue that goes through the layer in question, which is its layers[place].
struct Goer {
  std::size_t dialogue;
  std::size_t place;
};

// Rows of some dialogues, one dialogue after the other; all of them lie that way already.
const float* gather(Scratch& scratch, const Layout& layout, const std::vector<Goer>& goers, const float* x,
                    std::size_t size) {
  if (goers.size() == layout.count()) return x;
  std::size_t rows = 0;
  for (const Goer& goer : goers) rows += layout.length(goer.dialogue);
  float* gathered = scratch.hidden.need(rows * size);
  float* out = gathered;
  for (const Goer& goer : goers) {
    out = std::copy_n(x + layout.first[goer.dialogue] * size, layout.length(goer.dialogue) * size, out);
  }
  return gathered;
}

}  // namespace

std::vector<Memory> remember(const Model& model, Scratch& scratch, const Layout& layout, const float* read,
                             const float* emotion_logits) {
  const std::size_t depth = model.config.attention_depth;
  std::vector<Memory> memories(layout.count());
  std::vector<std::vector<Goer>> goers(model.layers());
  for (std::size_t n = 0; n < layout.count(); ++n) {
    Memory& memory = memories[n];
    memory.length = layout.length(n);
    memory.length_padded = round_up(layout.length(n), kLanes);
    memory.real.assign(layout.real.begin() + static_cast<std::ptrdiff_t>(layout.first[n]),
                       layout.real.begin() + static_cast<std::ptrdiff_t>(layout.first[n + 1]));
    choose_layers(model, emotion_logits + n * kEmotions, memory);
    for (std::size_t i = 0; i < memory.layers.size(); ++i) goers[memory.layers[i].of].push_back({n, i});
  }
  float* projected = scratch.wide.need(layout.rows() * 2 * depth);
  for (std::size_t l = 0; l < goers.size(); ++l) {
    std::size_t rows = 0;
    for (const Goer& goer : goers[l]) rows += layout.length(goer.dialogue);
    if (rows == 0) continue;
    const PackedMatrix& weight = model.layer(l).memory_key_value;
    const float* x = gather(scratch, layout, goers[l], read, weight.inputs);
    scratch.linear(weight, {x, weight.inputs}, rows, projected, 2 * depth);
    const float* row = projected;
    for (const Goer& goer : goers[l]) {
      Memory& memory = memories[goer.dialogue];
      Memory::Layer& layer = memory.layers[goer.place];
      layer.keys.resize(depth * memory.length_padded);
      layer.values.resize(depth * memory.length);
      split_heads(model, row, row + depth, 2 * depth, memory.length, memory.length_padded, layer.keys.data(),
                  layer.values.data());
      row += memory.length * 2 * depth;
    }
  }
  return memories;
}

}  // namespace mime_fast
