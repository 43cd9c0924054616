#include "engine/model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/run.h"
#include "engine/screening.h"

namespace mime_fast {
namespace {

// A B in float64, [rows, columns]: two linear layers, one right after the other, are one.
AlignedVector<float> product(const float* a, const float* b, std::size_t rows, std::size_t inner, std::size_t columns) {
  AlignedVector<float> out(rows * columns);
  std::vector<double> sums(columns);
  for (std::size_t row = 0; row < rows; ++row) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::size_t i = 0; i < inner; ++i) {
      const auto factor = static_cast<double>(a[row * inner + i]);
      for (std::size_t c = 0; c < columns; ++c) sums[c] += factor * static_cast<double>(b[i * columns + c]);
    }
    for (std::size_t c = 0; c < columns; ++c) out[row * columns + c] = static_cast<float>(sums[c]);
  }
  return out;
}

class Maker {
 public:
  Maker(const ModelConfig& config, Format format, const FindTensor& find)
      : config_(config), format_(format), find_(find) {}

  Norm norm(const std::string& name) const {
    const std::size_t size = config_.hidden_size;
    return {copy(find_(name + ".weight", {size}), size), copy(find_(name + ".bias", {size}), size)};
  }

  // One matrix of several linear layers without biases, one below the other.
  PackedMatrix stacked(const std::vector<std::string>& names, std::size_t outputs, std::size_t inputs) const {
    const AlignedVector<float> rows = rows_of(names, outputs, inputs);
    return pack(format_, rows.data(), outputs * names.size(), inputs, inputs, nullptr);
  }

  PackedMatrix linear(const std::string& name, std::size_t outputs, std::size_t inputs) const {
    return linear(name, outputs, inputs, format_);
  }
  PackedMatrix exact_linear(const std::string& name, std::size_t outputs, std::size_t inputs) const {
    return linear(name, outputs, inputs, Precision::kFloat32);
  }

  PackedMatrix vocabulary(const std::string& name, std::size_t words) const {
    const TensorValues weight = find_(name + ".weight", {words, config_.hidden_size});
    const TensorValues bias = find_(name + ".bias", {words});
    return pack_vocabulary(format_, weight.get(), words, config_.hidden_size, bias.get(), kBlock);
  }

  FeedForward ffn(const std::string& name) const {
    const std::size_t size = config_.hidden_size, channels = config_.ffn_channels;
    const TensorValues conv1 = find_(name + ".conv1.weight", {channels, size, 3});
    const float* first = conv1.get();
    AlignedVector<float> taps(3 * channels * size);
    for (std::size_t f = 0; f < channels; ++f) {
      for (std::size_t c = 0; c < size; ++c) {
        for (std::size_t j = 0; j < 3; ++j) taps[(j * channels + f) * size + c] = first[(f * size + c) * 3 + j];
      }
    }
    const TensorValues conv2 = find_(name + ".conv2.weight", {size, channels, 3});
    const float* second = conv2.get();
    AlignedVector<float> windows(size * 3 * channels);
    for (std::size_t c = 0; c < size; ++c) {
      for (std::size_t f = 0; f < channels; ++f) {
        for (std::size_t j = 0; j < 3; ++j) {
          windows[c * 3 * channels + j * channels + f] = second[(c * channels + f) * 3 + j];
        }
      }
    }
    return {pack(format_, taps.data(), 3 * channels, size, size, nullptr),
            copy(find_(name + ".conv1.bias", {channels}), channels),
            pack(format_, windows.data(), size, 3 * channels, 3 * channels, find_(name + ".conv2.bias", {size}).get())};
  }

  Encoder context_encoder() const { return layers_of("context_encoder", config_.context_layers); }

  // emotions: E_E, [32, C].
  Encoder response_encoder(const std::string& name, const float* emotions) const {
    const std::size_t size = config_.hidden_size;
    const TensorValues projection = find_(name + ".projection.weight", {size, 2 * size});
    Encoder encoder = layers_of(name, config_.num_layers);
    encoder.projection = pack(format_, projection.get(), size, size, 2 * size, nullptr);
    AlignedVector<float> turned(size * size);  // what m is multiplied by, [inputs, outputs]
    for (std::size_t out = 0; out < size; ++out) {
      for (std::size_t in = 0; in < size; ++in) turned[in * size + out] = projection.get()[(2 * out + 1) * size + in];
    }
    encoder.emotion_parts = product(emotions, turned.data(), kEmotions, size, size);
    return encoder;
  }

  // W of the projection that opens an encoder or the decoder.
  PackedMatrix opening(const std::string& name) const {
    const std::size_t size = config_.hidden_size;
    return pack(Precision::kFloat32, find_(name + ".projection.weight", {size, size}).get(), size, size, size, nullptr);
  }

  // Rows [rows, C] of a table after a projection, scaled.
  AlignedVector<float> projected(const Kernels& kernels, const PackedMatrix& projection, const float* table,
                                 std::size_t rows) const {
    const std::size_t size = config_.hidden_size;
    AlignedVector<float> out(rows * size);
    GemmArgs args{};
    args.weight = &projection;
    args.x = {reinterpret_cast<const std::uint32_t*>(table), size, nullptr};
    args.rows = rows;
    args.out = out.data();
    args.out_stride = size;
    kernels.gemm(args);
    const auto factor = static_cast<float>(std::sqrt(static_cast<double>(size)));
    for (float& value : out) value *= factor;
    return out;
  }

  Encoder layers_of(const std::string& name, std::size_t count) const {
    const std::size_t size = config_.hidden_size, depth = config_.attention_depth;
    Encoder encoder;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string layer = name + ".layers." + std::to_string(i);
      const std::string attention = layer + ".attention";
      encoder.layers.push_back({norm(layer + ".norm_attention"),
                                stacked({attention + ".query", attention + ".key", attention + ".value"}, depth, size),
                                stacked({attention + ".output"}, size, depth), norm(layer + ".norm_ffn"),
                                ffn(layer + ".ffn")});
    }
    encoder.norm = norm(name + ".norm");
    return encoder;
  }

  // Whether keys and values of M_fused (eq. 27) take fewer products straight from what it is made of.
  bool contains_fused() const {
    const std::size_t size = config_.hidden_size, keys_values = 2 * config_.attention_depth * config_.num_layers;
    return config_.model_type == ModelType::kMime && keys_values * 2 * size <= (2 * size + keys_values) * size;
  }

  // Before the decoder's layers, which contain it.
  void keep_fused() {
    const std::size_t size = config_.hidden_size;
    fused_weight_ = find_("fusion.fc_fused.weight", {size, 2 * size});
    fused_bias_ = find_("fusion.fc_fused.bias", {size});
  }

  PackedMatrix memory_key_value(const std::string& attention) const {
    const std::size_t size = config_.hidden_size, depth = config_.attention_depth;
    const std::vector<std::string> names = {attention + ".key", attention + ".value"};
    if (!contains_fused()) return stacked(names, depth, size);
    const AlignedVector<float> rows = rows_of(names, depth, size);
    return pack(format_, product(rows.data(), fused_weight_.get(), 2 * depth, size, 2 * size).data(), 2 * depth,
                2 * size, 2 * size, product(rows.data(), fused_bias_.get(), 2 * depth, size, 1).data());
  }

  DecoderLayer decoder_layer(const std::string& name) const {
    const std::size_t size = config_.hidden_size, depth = config_.attention_depth;
    const std::string self = name + ".self_attention", memory = name + ".memory_attention";
    return {norm(name + ".norm_self_attention"),
            stacked({self + ".query", self + ".key", self + ".value"}, depth, size),
            stacked({self + ".output"}, size, depth),
            norm(name + ".norm_memory_attention"),
            stacked({memory + ".query"}, depth, size),
            memory_key_value(memory),
            stacked({memory + ".output"}, size, depth),
            norm(name + ".norm_ffn"),
            ffn(name + ".ffn")};
  }

  EmotionGroup group(const std::string& name, const std::string& sigma, std::vector<std::int32_t> emotions) const {
    const std::size_t size = config_.hidden_size, count = emotions.size();
    const TensorValues mu = find_("prior.fc_mu." + name + ".weight", {size, size});
    const TensorValues mu_bias = find_("prior.fc_mu." + name + ".bias", {size});
    const TensorValues d = find_("prior.fc_d." + name + ".weight", {count, size});
    const TensorValues d_bias = find_("prior.fc_d." + name + ".bias", {count});
    AlignedVector<float> bias = product(d.get(), mu_bias.get(), count, size, 1);
    for (std::size_t i = 0; i < count; ++i) bias[i] += d_bias.get()[i];
    return {
        std::move(emotions),
        pack(Precision::kFloat32, product(d.get(), mu.get(), count, size, size).data(), count, size, size, bias.data()),
        exact_linear("prior.fc_sigma." + sigma, size, size),
        pack(Precision::kFloat32, d.get(), count, size, size, nullptr)};
  }

  static AlignedVector<float> copy(const TensorValues& values, std::size_t count) {
    return {values.get(), values.get() + count};
  }

 private:
  PackedMatrix linear(const std::string& name, std::size_t outputs, std::size_t inputs, Format format) const {
    const TensorValues weight = find_(name + ".weight", {outputs, inputs});
    const TensorValues bias = find_(name + ".bias", {outputs});
    return pack(format, weight.get(), outputs, inputs, inputs, bias.get());
  }

  AlignedVector<float> rows_of(const std::vector<std::string>& names, std::size_t outputs, std::size_t inputs) const {
    AlignedVector<float> rows;
    for (const std::string& name : names) {
      const TensorValues weight = find_(name + ".weight", {outputs, inputs});
      rows.insert(rows.end(), weight.get(), weight.get() + outputs * inputs);
    }
    return rows;
  }

  const ModelConfig& config_;
  Format format_;
  const FindTensor& find_;
  TensorValues fused_weight_, fused_bias_;
};

// Sines, then cosines, of p * exp(-j ln(10000) / (C/2 - 1)).
AlignedVector<float> sinusoidal_positions(std::size_t rows, std::size_t size) {
  AlignedVector<float> table(rows * size);
  const std::size_t half = size / 2;
  for (std::size_t j = 0; j < half; ++j) {
    const double rate = std::exp(static_cast<double>(j) * (-std::log(10000.0) / (static_cast<double>(half) - 1)));
    for (std::size_t p = 0; p < rows; ++p) {
      table[p * size + j] = static_cast<float>(std::sin(static_cast<double>(p) * rate));
      table[p * size + half + j] = static_cast<float>(std::cos(static_cast<double>(p) * rate));
    }
  }
  return table;
}

std::vector<EmotionGroup> make_groups(const ModelConfig& config, const Maker& maker) {
  std::vector<std::int32_t> all;
  for (std::size_t i = 0; i < kEmotions; ++i) all.push_back(static_cast<std::int32_t>(i));
  std::vector<EmotionGroup> groups;
  if (!config.emotion_grouping) {
    groups.push_back(maker.group("all", "all", all));
  } else {
    groups.push_back(maker.group("positive", "positive", config.positive));
    groups.push_back(maker.group("negative", config.separate_sigma ? "negative" : "positive", config.negative));
  }
  return groups;
}

// Eq. 4-27.
void add_mime_parts(Model& model, Maker& maker, const FindTensor& find) {
  const ModelConfig& config = model.config;
  const std::size_t size = config.hidden_size;
  const TensorValues emotions = find("emotion_embedding.weight", {kEmotions, size});
  const TensorValues query = find("emotion_query.weight", {size, size});
  model.emotion_logits = pack(Precision::kFloat32, product(emotions.get(), query.get(), kEmotions, size, size).data(),
                              kEmotions, size, size, nullptr);
  model.fc_sample = maker.exact_linear("prior.fc_sample", size, size);
  model.groups = make_groups(config, maker);
  for (int i = 0; i < (config.shared_response_encoder ? 1 : 2); ++i) {
    model.response_encoders.push_back(maker.response_encoder("response_encoders." + std::to_string(i), emotions.get()));
  }
  model.fc_contrib = maker.linear("fusion.fc_contrib", 2 * size, 2 * size);
  if (maker.contains_fused()) {
    maker.keep_fused();
  } else {
    model.fc_fused = maker.linear("fusion.fc_fused", size, 2 * size);
  }
}

void add_baseline_parts(Model& model, const Maker& maker, const FindTensor& find) {
  const std::size_t size = model.config.hidden_size;
  model.emotion_logits =
      pack(Precision::kFloat32, find("emotion_key.weight", {kEmotions, size}).get(), kEmotions, size, size, nullptr);
  if (model.config.model_type != ModelType::kMoel) return;
  for (std::size_t i = 0; i < kEmotions; ++i) {
    model.listeners.push_back(maker.decoder_layer("decoder.listeners." + std::to_string(i)));
  }
  model.listeners.push_back(maker.decoder_layer("decoder.shared_listener"));
}

void add_embeddings(Model& model, const Maker& maker, const FindTensor& find) {
  const std::size_t size = model.config.hidden_size;
  const PackedMatrix context = maker.opening("context_encoder"), response = maker.opening("decoder");
  const TensorValues words = find("word_embedding.weight", {model.config.vocab_size, size});
  model.context_words = maker.projected(*model.kernels, context, words.get(), model.config.vocab_size);
  model.response_words = maker.projected(*model.kernels, response, words.get(), model.config.vocab_size);
  const TensorValues speakers = model.config.speaker_table ? find("speaker_embedding.weight", {3, size})
                                                           : TensorValues(words, words.get() + kUserId * size);
  model.context_speakers = maker.projected(*model.kernels, context, speakers.get(), 3);
  model.positions = sinusoidal_positions(model.config.max_positions, size);
}

// The sums of int8 products are 32 bits wide.
constexpr std::size_t kMostInt8Inputs = (std::size_t{1} << 31) / (128 * 127);

// What the products of a model have at most as inputs, of those in int8: with a screen only the vocabulary's.
std::size_t most_int8_inputs(const ModelConfig& config, Precision precision) {
  if (precision != Precision::kInt8) return config.hidden_size;
  const std::size_t pairs = config.model_type == ModelType::kMime ? 2 : 1;  // [H ; m] and the like of MIME
  return std::max({pairs * config.hidden_size, 3 * config.ffn_channels, config.attention_depth});
}

void check_int8_sums(const ModelConfig& config, Precision precision) {
  const std::size_t most = most_int8_inputs(config, precision);
  if (most <= kMostInt8Inputs) return;
  throw ModelError("a layer has " + std::to_string(most) + " inputs; must have at most " +
                   std::to_string(kMostInt8Inputs) + " in int8");
}

}  // namespace

Model make_model(const ModelConfig& config, Precision precision, bool screened, Isa isa, const FindTensor& find) {
  if (precision == Precision::kInt8 || screened) check_int8_sums(config, precision);
  Maker maker(config, {precision, kernels(isa).int8_range}, find);
  const std::size_t size = config.hidden_size;
  Model model;
  model.config = config;
  model.kernels = &kernels(isa);
  // The greatest tensors first: what packing takes besides is least while little else is there.
  model.vocabulary = maker.vocabulary("fc_decode", config.vocab_size);
  add_embeddings(model, maker, find);
  model.context_encoder = maker.context_encoder();
  if (config.model_type == ModelType::kMime) {
    add_mime_parts(model, maker, find);
  } else {
    add_baseline_parts(model, maker, find);
  }
  for (std::size_t i = 0; i < config.num_layers; ++i) {
    model.decoder_layers.push_back(maker.decoder_layer("decoder.layers." + std::to_string(i)));
  }
  model.decoder_norm = maker.norm("decoder.norm");
  if (screened) {
    add_screen(model, find("fc_decode.weight", {config.vocab_size, size}).get(),
               find("fc_decode.bias", {config.vocab_size}).get());
  }
  return model;
}

}  // namespace mime_fast
