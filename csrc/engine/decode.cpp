#include "engine/decode.h"

#include <algorithm>
#include <cmath>

namespace mime_fast {
namespace {

// A row in one layer: its dialogue's layers[place].
struct LayerRow : Row {
  std::size_t place;

  float* cache(std::int32_t index) const { return tree->cache(place, index); }
};

// Positions of a prefix from the root on, as the attention reads them.
struct Chain {
  std::vector<const float*> nodes;
  std::vector<std::uint8_t> real;

  void follow(const LayerRow& row) {
    const auto length = static_cast<std::size_t>(row.position) + 1;
    nodes.resize(length);
    real.resize(length);
    std::int32_t index = row.node;
    for (std::size_t i = length; i-- > 0; index = row.tree->node(index).parent) {
      nodes[i] = row.cache(index);
      real[i] = row.tree->node(index).token != kPadId;
    }
  }
};

float attention_scale(const Model& model) { return 1.0f / std::sqrt(static_cast<float>(model.head_depth())); }

void self_attention(const Model& model, Scratch& scratch, const std::vector<LayerRow>& rows,
                    const float* query_key_value, float* out) {
  const std::size_t depth = model.config.attention_depth;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::copy_n(query_key_value + r * 3 * depth + depth, 2 * depth, rows[r].cache(rows[r].node));
  }
  Chain chain;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    chain.follow(rows[r]);
    ChainArgs args{};
    args.query = query_key_value + r * 3 * depth;
    args.nodes = chain.nodes.data();
    args.real = chain.real.data();
    args.length = chain.nodes.size();
    args.heads = model.config.num_heads;
    args.depth = model.head_depth();
    args.scale = attention_scale(model);
    args.out = out + r * depth;
    args.scratch = scratch.scores.need(round_up(args.length, kLanes));
    scratch.kernels.chain_attention(args);
  }
}

// Rows that share a memory lie together.
void memory_attention(const Model& model, Scratch& scratch, const std::vector<LayerRow>& rows, const float* query,
                      float* out) {
  const std::size_t depth = model.config.attention_depth;
  for (std::size_t r = 0; r < rows.size();) {
    const Memory& memory = *rows[r].memory;
    const Memory::Layer& layer = memory.layers[rows[r].place];
    std::size_t last = r;
    while (last < rows.size() && rows[last].memory == &memory) ++last;
    AttentionArgs args{};
    args.query = query + r * depth;
    args.query_stride = depth;
    args.keys = layer.keys.data();
    args.values = layer.values.data();
    args.real = memory.real.data();
    args.length = memory.length;
    args.length_padded = memory.length_padded;
    args.rows = last - r;
    args.heads = model.config.num_heads;
    args.depth = model.head_depth();
    args.scale = attention_scale(model);
    args.out = out + r * depth;
    args.out_stride = depth;
    args.scratch = scratch.scores.need(kAttentionRows * memory.length_padded);
    scratch.kernels.attention(args);
    r = last;
  }
}

// What the second convolution reads: the hiddens of the last three positions, zero before the first.
void causal_windows(const Model& model, const std::vector<LayerRow>& rows, const float* taps, const float* bias,
                    float* windows) {
  const std::size_t channels = model.config.ffn_channels;
  const std::size_t kept = 2 * model.config.attention_depth;  // keys and values come first
  const auto parent = [](const Row& row, std::int32_t index) { return index < 0 ? -1 : row.tree->node(index).parent; };
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::copy_n(taps + r * 3 * channels, 2 * channels, rows[r].cache(rows[r].node) + kept);
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const LayerRow& row = rows[r];
    float* hidden = row.cache(row.node) + kept + 2 * channels;
    for (std::size_t f = 0; f < channels; ++f) hidden[f] = bias[f] + taps[r * 3 * channels + 2 * channels + f];
    const std::int32_t before = parent(row, row.node), first = parent(row, before);
    if (before >= 0) {
      const float* tap = row.cache(before) + kept + channels;
      for (std::size_t f = 0; f < channels; ++f) hidden[f] += tap[f];
    }
    if (first >= 0) {
      const float* tap = row.cache(first) + kept;
      for (std::size_t f = 0; f < channels; ++f) hidden[f] += tap[f];
    }
    for (std::size_t f = 0; f < channels; ++f) hidden[f] = hidden[f] < 0.0f ? 0.0f : hidden[f];
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::int32_t index = rows[r].node;
    for (std::size_t j = 3; j-- > 0; index = parent(rows[r], index)) {
      float* window = windows + (r * 3 + j) * channels;
      if (index < 0) {
        std::fill_n(window, channels, 0.0f);
      } else {
        std::copy_n(rows[r].cache(index) + kept + 2 * channels, channels, window);
      }
    }
  }
}

// One layer on the rows' x [rows, C].
void run_layer(const Model& model, Scratch& scratch, const DecoderLayer& layer, const std::vector<LayerRow>& rows,
               float* x) {
  const ModelConfig& config = model.config;
  const std::size_t size = config.hidden_size, depth = config.attention_depth, channels = config.ffn_channels;
  const std::size_t count = rows.size();
  float* normed = scratch.normed.need(count * size);
  float* wide = scratch.wide.need(count * 3 * std::max(depth, channels));
  float* attended = scratch.attended.need(count * depth);
  float* windows = scratch.windows.need(count * 3 * channels);
  scratch.norm(layer.norm_self_attention, config.unbiased_norm, {x, size}, count, normed, size);
  scratch.linear(layer.query_key_value, {normed, size}, count, wide, 3 * depth);
  self_attention(model, scratch, rows, wide, attended);
  scratch.linear(layer.self_output, {attended, depth}, count, x, size, {Activation::kNone, x});
  scratch.norm(layer.norm_memory_attention, config.unbiased_norm, {x, size}, count, normed, size);
  scratch.linear(layer.memory_query, {normed, size}, count, wide, depth);
  memory_attention(model, scratch, rows, wide, attended);
  scratch.linear(layer.memory_output, {attended, depth}, count, x, size, {Activation::kNone, x});
  scratch.norm(layer.norm_ffn, config.unbiased_norm, {x, size}, count, normed, size);
  scratch.linear(layer.ffn.taps, {normed, size}, count, wide, 3 * channels);
  causal_windows(model, rows, wide, layer.ffn.bias.data(), windows);
  const Activation last = config.final_relu ? Activation::kRelu : Activation::kNone;
  scratch.linear(layer.ffn.second, {windows, 3 * channels}, count, x, size, {last, x});
}

// MoEL: x [rows, C] becomes the sum of what each row's listeners say of it, weighed, in the order of the emotions, the
// shared listener last. All rows that use a listener go through it together; each row's `place` is behind its
// listeners afterwards.
void listen(const Model& model, Scratch& scratch, std::vector<LayerRow>& rows, float* x) {
  const std::size_t size = model.config.hidden_size;
  float* combined = scratch.combined.need(rows.size() * size);
  float* said = scratch.said.need(rows.size() * size);
  std::fill_n(combined, rows.size() * size, 0.0f);
  std::vector<LayerRow> hearers;
  std::vector<std::size_t> which;
  for (std::size_t listener = 0; listener < model.listeners.size(); ++listener) {
    hearers.clear();
    which.clear();
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].memory->layers[rows[r].place].of != listener) continue;
      std::copy_n(x + r * size, size, said + which.size() * size);
      which.push_back(r);
      hearers.push_back(rows[r]);
      ++rows[r].place;
    }
    if (hearers.empty()) continue;
    run_layer(model, scratch, model.listeners[listener], hearers, said);
    for (std::size_t i = 0; i < hearers.size(); ++i) {
      const float weight = hearers[i].memory->layers[hearers[i].place].weight;
      float* sum = combined + which[i] * size;
      for (std::size_t c = 0; c < size; ++c) sum[c] += weight * said[i * size + c];
    }
  }
  std::copy_n(combined, rows.size() * size, x);
}

}  // namespace

Tree::Tree(const Model& model, std::size_t layers)
    : stride_(2 * model.config.attention_depth + 3 * model.config.ffn_channels), caches_(layers) {
  add(-1, kSosId, 0.0f);
}

std::int32_t Tree::add(std::int32_t parent, std::int32_t token, float logprob, float logit) {
  nodes_.push_back({parent, token, logprob, logit});
  for (AlignedVector<float>& cache : caches_) cache.resize(nodes_.size() * stride_);
  return static_cast<std::int32_t>(nodes_.size() - 1);
}

void decode(const Model& model, Scratch& scratch, const std::vector<Row>& rows, float* out) {
  const std::size_t size = model.config.hidden_size, count = rows.size();
  float* x = scratch.hidden.need(count * size);
  std::vector<LayerRow> through;
  through.reserve(count);
  for (std::size_t r = 0; r < count; ++r) {
    through.push_back({rows[r], 0});
    const auto token = static_cast<std::size_t>(rows[r].tree->node(rows[r].node).token);
    const float* word = model.response_words.data() + token * size;
    const float* position = model.positions.data() + static_cast<std::size_t>(rows[r].position) * size;
    for (std::size_t c = 0; c < size; ++c) x[r * size + c] = word[c] + position[c];
  }
  if (!model.listeners.empty()) listen(model, scratch, through, x);
  for (const DecoderLayer& layer : model.decoder_layers) {
    run_layer(model, scratch, layer, through, x);
    for (LayerRow& row : through) ++row.place;
  }
  scratch.norm(model.decoder_norm, model.config.unbiased_norm, {x, size}, count, out, size);
}

}  // namespace mime_fast
