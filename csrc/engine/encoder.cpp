#include "engine/encoder.h"

#include <algorithm>
#include <cmath>

namespace mime_fast {

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

namespace {

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

}  // namespace

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

}  // namespace mime_fast
