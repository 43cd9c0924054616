#include "decoder/encode.h"

#include <algorithm>
#include <cmath>

#include "mime_fast/philox.h"

namespace mime_fast {
namespace {

// The rows of some dialogues: dialogue i has rows first[i] to first[i + 1] - 1.
struct Layout {
  std::vector<std::size_t> first{0};
  std::vector<std::uint8_t> real;

  std::size_t rows() const { return first.back(); }
  std::size_t count() const { return first.size() - 1; }
  std::size_t length(std::size_t i) const { return first[i + 1] - first[i]; }
};

// Keys [H, D, padded] and values [H, length, D] out of rows that hold both.
void split_heads(const Model& model, const float* keys, const float* values, std::size_t stride, std::size_t length,
                 std::size_t padded, float* keys_out, float* values_out) {
  const std::size_t depth = model.head_depth();
  for (std::size_t head = 0; head < model.config.num_heads; ++head) {
    for (std::size_t d = 0; d < depth; ++d, keys_out += padded) {
      for (std::size_t i = 0; i < length; ++i) keys_out[i] = keys[i * stride + head * depth + d];
      std::fill(keys_out + length, keys_out + padded, 0.0f);
    }
    for (std::size_t i = 0; i < length; ++i, values_out += depth) {
      std::copy_n(values + i * stride + head * depth, depth, values_out);
    }
  }
}

void self_attention(const Model& model, Scratch& scratch, const Layout& layout, const float* query_key_value,
                    float* out) {
  const std::size_t depth = model.config.attention_depth;
  const std::size_t stride = 3 * depth;
  for (std::size_t i = 0; i < layout.count(); ++i) {
    const std::size_t length = layout.length(i);
    const std::size_t padded = round_up(length, kLanes);
    const float* rows = query_key_value + layout.first[i] * stride;
    float* keys = scratch.keys.need(depth * padded);
    float* values = scratch.values.need(depth * length);
    split_heads(model, rows + depth, rows + 2 * depth, stride, length, padded, keys, values);
    AttentionArgs args{};
    args.query = rows;
    args.query_stride = stride;
    args.keys = keys;
    args.values = values;
    args.real = layout.real.data() + layout.first[i];
    args.length = length;
    args.length_padded = padded;
    args.rows = length;
    args.heads = model.config.num_heads;
    args.depth = model.head_depth();
    args.scale = 1.0f / std::sqrt(static_cast<float>(model.head_depth()));
    args.out = out + layout.first[i] * depth;
    args.out_stride = depth;
    args.scratch = scratch.scores.need(kAttentionRows * padded);
    scratch.kernels.attention(args);
  }
}

// What the second convolution reads at each position: the hiddens before, at and after it; zero beyond a dialogue's end
// and where it is not real.
void hidden_windows(const Layout& layout, const float* taps, const float* bias, std::size_t channels, float* hidden,
                    float* windows) {
  const std::size_t width = 3 * channels;
  for (std::size_t i = 0; i < layout.count(); ++i) {
    const std::size_t first = layout.first[i], last = layout.first[i + 1];
    for (std::size_t row = first; row < last; ++row) {
      const float* at = taps + row * width;
      float* out = hidden + row * channels;
      for (std::size_t f = 0; f < channels; ++f) out[f] = bias[f] + at[channels + f];
      if (row > first) {
        for (std::size_t f = 0; f < channels; ++f) out[f] += (at - width)[f];
      }
      if (row + 1 < last) {
        for (std::size_t f = 0; f < channels; ++f) out[f] += (at + width)[2 * channels + f];
      }
      // A NaN stays one, as in the reference.
      for (std::size_t f = 0; f < channels; ++f) out[f] = out[f] < 0.0f ? 0.0f : out[f];
      if (layout.real[row] == 0) std::fill_n(out, channels, 0.0f);
    }
    for (std::size_t row = first; row < last; ++row) {
      float* window = windows + row * width;
      for (std::size_t j = 0; j < 3; ++j, window += channels) {
        const std::size_t seen = row + j;  // one more than the position
        if (seen > first && seen <= last) {
          std::copy_n(hidden + (seen - 1) * channels, channels, window);
        } else {
          std::fill_n(window, channels, 0.0f);
        }
      }
    }
  }
}

// All layers and the last norm: x [rows, C] is overwritten, the result goes to out.
void run_encoder(const Model& model, Scratch& scratch, const Encoder& encoder, const Layout& layout, float* x,
                 float* out, std::size_t out_stride) {
  const ModelConfig& config = model.config;
  const std::size_t size = config.hidden_size, depth = config.attention_depth, channels = config.ffn_channels;
  const std::size_t rows = layout.rows();
  float* normed = scratch.normed.need(rows * size);
  float* wide = scratch.wide.need(rows * 3 * std::max(depth, channels));
  float* attended = scratch.attended.need(rows * depth);
  float* hidden = scratch.channels.need(rows * channels);
  float* windows = scratch.windows.need(rows * 3 * channels);
  const Activation last = config.final_relu ? Activation::kRelu : Activation::kNone;
  for (const EncoderLayer& layer : encoder.layers) {
    scratch.norm(layer.norm_attention, config.unbiased_norm, {x, size}, rows, normed, size);
    scratch.linear(layer.query_key_value, {normed, size}, rows, wide, 3 * depth);
    self_attention(model, scratch, layout, wide, attended);
    scratch.linear(layer.attention_output, {attended, depth}, rows, x, size, {Activation::kNone, x});
    scratch.norm(layer.norm_ffn, config.unbiased_norm, {x, size}, rows, normed, size);
    for (std::size_t row = 0; row < rows; ++row) {
      if (layout.real[row] == 0) std::fill_n(normed + row * size, size, 0.0f);
    }
    scratch.linear(layer.ffn.taps, {normed, size}, rows, wide, 3 * channels);
    hidden_windows(layout, wide, layer.ffn.bias.data(), channels, hidden, windows);
    scratch.linear(layer.ffn.second, {windows, 3 * channels}, rows, x, size, {last, x});
  }
  scratch.norm(encoder.norm, config.unbiased_norm, {x, size}, rows, out, out_stride);
}

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
      const auto speaker = static_cast<std::size_t>(std::max(state, kUserId) - kUserId);
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

// s of eq. 4, [N, 32].
AlignedVector<float> emotion_logits(const Model& model, Scratch& scratch, const Encoded& encoded) {
  const std::size_t size = model.config.hidden_size, count = encoded.layout.count();
  float* query = scratch.base.need(count * size);
  scratch.linear(model.emotion_query, {encoded.first.data(), size}, count, query, size);
  AlignedVector<float> logits(count * kEmotions);
  scratch.linear(model.emotion_logits, {query, size}, count, logits.data(), kEmotions);
  return logits;
}

void softmax(float* values, std::size_t count) {
  const float best = *std::max_element(values, values + count);
  float total = 0;
  for (std::size_t i = 0; i < count; ++i) total += values[i] = std::exp(values[i] - best);
  for (std::size_t i = 0; i < count; ++i) values[i] /= total;
}

// d_g by emotion [N, 32], and e_g for each group [N, C] (eq. 7-15).
struct Mixture {
  AlignedVector<float> weights;
  std::vector<AlignedVector<float>> emotions;
};

Mixture sample(const Model& model, Scratch& scratch, const Encoded& encoded, const Requests& requests,
               const std::size_t* which) {
  const std::size_t size = model.config.hidden_size, count = encoded.layout.count();
  AlignedVector<float> hidden(count * size), z(count * size), log_variance(count * size), noise(size);
  AlignedVector<float> d(count * kEmotions);
  scratch.linear(model.fc_sample, {encoded.first.data(), size}, count, hidden.data(), size, {Activation::kRelu});
  Mixture mixture{AlignedVector<float>(count * kEmotions, 0.0f), {}};
  for (std::size_t g = 0; g < model.groups.size(); ++g) {
    const EmotionGroup& group = model.groups[g];
    const std::size_t members = group.emotions.size();
    scratch.linear(group.mu, {hidden.data(), size}, count, z.data(), size);
    if (requests.stochastic) {
      scratch.linear(group.sigma, {hidden.data(), size}, count, log_variance.data(), size);
      for (std::size_t n = 0; n < count; ++n) {
        PhiloxDraw draw{};
        draw.seed = requests.seeds[which[n]];
        draw.request_id = requests.request_ids[which[n]];
        draw.purpose = static_cast<std::uint32_t>(g);
        fill_normals(draw, size, noise.data());
        for (std::size_t c = 0; c < size; ++c) {
          z[n * size + c] += noise[c] * std::exp(0.5f * log_variance[n * size + c]);
        }
      }
    }
    scratch.linear(group.d, {z.data(), size}, count, d.data(), members);
    AlignedVector<float> emotion(count * size, 0.0f);
    for (std::size_t n = 0; n < count; ++n) {
      softmax(d.data() + n * members, members);
      for (std::size_t i = 0; i < members; ++i) {
        const auto id = static_cast<std::size_t>(group.emotions[i]);
        const float weight = d[n * members + i];
        mixture.weights[n * kEmotions + id] = weight;
        for (std::size_t c = 0; c < size; ++c) emotion[n * size + c] += weight * model.emotions[id * size + c];
      }
    }
    mixture.emotions.push_back(std::move(emotion));
  }
  return mixture;
}

// M or M~ (eq. 20-23) into out, with m [N, C] and W_h H [rows, C].
void refine(const Model& model, Scratch& scratch, const Encoder& encoder, const Layout& layout,
            const AlignedVector<float>& m, const float* base, float* out, std::size_t out_stride) {
  const std::size_t size = model.config.hidden_size;
  AlignedVector<float> shift(layout.count() * size);
  scratch.linear(encoder.emotion_projection, {m.data(), size}, layout.count(), shift.data(), size);
  float* x = scratch.hidden.need(layout.rows() * size);
  for (std::size_t n = 0; n < layout.count(); ++n) {
    for (std::size_t i = 0; i < layout.length(n); ++i) {
      const std::size_t row = (layout.first[n] + i) * size;
      for (std::size_t c = 0; c < size; ++c) {
        x[row + c] = base[row + c] + shift[n * size + c] + model.positions[i * size + c];
      }
    }
  }
  run_encoder(model, scratch, encoder, layout, x, out, out_stride);
}

// m and m~ (eq. 18-19).
std::array<AlignedVector<float>, 2> mimicry(const Model& model, const Mixture& mixture, const std::int32_t* mimicked,
                                            const std::size_t* which, std::size_t count) {
  const std::size_t size = model.config.hidden_size;
  const AlignedVector<float>& first = mixture.emotions.front();
  const AlignedVector<float>& last = mixture.emotions.back();
  std::array<AlignedVector<float>, 2> chosen{first, last};
  if (!model.config.emotion_mimicry) return chosen;
  for (std::size_t n = 0; n < count; ++n) {
    if (model.config.is_positive(mimicked[which[n]])) continue;
    std::copy_n(last.data() + n * size, size, chosen[0].data() + n * size);
    std::copy_n(first.data() + n * size, size, chosen[1].data() + n * size);
  }
  return chosen;
}

// The rows that refinement reads: all, or those behind CTX.
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

// M_fused (eq. 24-27) [rows, C]; the mean share of the words goes to the dialogues' places.
AlignedVector<float> fuse(const Model& model, Scratch& scratch, const Layout& layout, float* both,
                          const std::size_t* which, float* mimic_share) {
  const std::size_t size = model.config.hidden_size, rows = layout.rows();
  float* gate = scratch.gate.need(rows * 2 * size);
  scratch.linear(model.fc_contrib, {both, 2 * size}, rows, gate, 2 * size, {Activation::kSigmoid});
  AlignedVector<float> shares(rows);
  scratch.kernels.apply_gate(gate, both, rows, size, shares.data());
  AlignedVector<float> fused(rows * size);
  scratch.linear(model.fc_fused, {both, 2 * size}, rows, fused.data(), size);
  for (std::size_t n = 0; n < layout.count(); ++n) {
    float total = 0;
    std::size_t words = 0;
    for (std::size_t i = model.config.drop_ctx ? 0 : 1; i < layout.length(n); ++i) {
      if (layout.real[layout.first[n] + i] == 0) continue;
      total += shares[layout.first[n] + i];
      ++words;
    }
    mimic_share[which[n]] = total / static_cast<float>(words);
  }
  return fused;
}

std::vector<Memory> remember(const Model& model, Scratch& scratch, const Layout& layout,
                             const AlignedVector<float>& fused) {
  const std::size_t size = model.config.hidden_size, depth = model.config.attention_depth;
  std::vector<Memory> memories(layout.count());
  for (std::size_t n = 0; n < layout.count(); ++n) {
    memories[n].length = layout.length(n);
    memories[n].length_padded = round_up(layout.length(n), kLanes);
    memories[n].real.assign(layout.real.begin() + static_cast<std::ptrdiff_t>(layout.first[n]),
                            layout.real.begin() + static_cast<std::ptrdiff_t>(layout.first[n + 1]));
    memories[n].layers.resize(model.decoder_layers.size());
  }
  float* projected = scratch.wide.need(layout.rows() * 2 * depth);
  for (std::size_t l = 0; l < model.decoder_layers.size(); ++l) {
    scratch.linear(model.decoder_layers[l].memory_key_value, {fused.data(), size}, layout.rows(), projected, 2 * depth);
    for (std::size_t n = 0; n < layout.count(); ++n) {
      Memory::Layer& layer = memories[n].layers[l];
      layer.keys.resize(depth * memories[n].length_padded);
      layer.values.resize(depth * memories[n].length);
      const float* rows = projected + layout.first[n] * 2 * depth;
      split_heads(model, rows, rows + depth, 2 * depth, memories[n].length, memories[n].length_padded,
                  layer.keys.data(), layer.values.data());
    }
  }
  return memories;
}

}  // namespace

void classify(const Model& model, Scratch& scratch, const Contexts& contexts, const std::size_t* which,
              std::size_t count, float* logits) {
  const Encoded encoded = encode_contexts(model, scratch, contexts, which, count);
  const AlignedVector<float> found = emotion_logits(model, scratch, encoded);
  for (std::size_t n = 0; n < count; ++n) {
    std::copy_n(found.data() + n * kEmotions, kEmotions, logits + which[n] * kEmotions);
  }
}

std::vector<Memory> encode(const Model& model, Scratch& scratch, const Contexts& contexts, const Requests& requests,
                           const std::size_t* which, std::size_t count, const Heard& heard) {
  const std::size_t size = model.config.hidden_size;
  Encoded encoded = encode_contexts(model, scratch, contexts, which, count);
  const AlignedVector<float> logits = emotion_logits(model, scratch, encoded);
  const Mixture mixture = sample(model, scratch, encoded, requests, which);
  for (std::size_t n = 0; n < count; ++n) {
    const float* row = logits.data() + n * kEmotions;
    const std::int32_t given = requests.emotions[which[n]];
    const auto guess = static_cast<std::int32_t>(std::max_element(row, row + kEmotions) - row);
    heard.mimicked[which[n]] = given >= 0 ? given : guess;
    std::copy_n(row, kEmotions, heard.emotion_logits + which[n] * kEmotions);
    std::copy_n(mixture.weights.data() + n * kEmotions, kEmotions, heard.weights + which[n] * kEmotions);
  }
  if (model.config.drop_ctx) {
    encoded.hidden = without_ctx(encoded, size);
    encoded.layout = words_only(encoded.layout);
  }
  const Layout& layout = encoded.layout;
  const auto chosen = mimicry(model, mixture, heard.mimicked, which, count);
  float* both = scratch.both.need(layout.rows() * 2 * size);
  float* base = scratch.base.need(layout.rows() * size);
  for (std::size_t branch = 0; branch < 2; ++branch) {
    const Encoder& encoder = model.response_encoders[std::min(branch, model.response_encoders.size() - 1)];
    if (branch == 0 || model.response_encoders.size() > 1) {
      scratch.linear(encoder.projection, {encoded.hidden.data(), size}, layout.rows(), base, size);
    }
    refine(model, scratch, encoder, layout, chosen[branch], base, both + branch * size, 2 * size);
  }
  return remember(model, scratch, layout, fuse(model, scratch, layout, both, which, heard.mimic_share));
}

}  // namespace mime_fast
