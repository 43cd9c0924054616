#include "engine/model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/screening.h"

namespace mime_fast {
namespace {

class Maker {
 public:
  Maker(const ModelConfig& config, Precision precision, const FindTensor& find)
      : config_(config), precision_(precision), find_(find) {}

  Norm norm(const std::string& name) const {
    const std::size_t size = config_.hidden_size;
    return {copy(find_(name + ".weight", {size}), size), copy(find_(name + ".bias", {size}), size)};
  }

  // One matrix of several linear layers without biases, one below the other.
  PackedMatrix stacked(const std::vector<std::string>& names, std::size_t outputs, std::size_t inputs) const {
    AlignedVector<float> rows;
    for (const std::string& name : names) {
      const TensorValues weight = find_(name + ".weight", {outputs, inputs});
      rows.insert(rows.end(), weight.get(), weight.get() + outputs * inputs);
    }
    return pack(precision_, rows.data(), outputs * names.size(), inputs, inputs, nullptr);
  }

  PackedMatrix linear(const std::string& name, std::size_t outputs, std::size_t inputs, Precision precision,
                      std::size_t pad_outputs = kLanes) const {
    const TensorValues weight = find_(name + ".weight", {outputs, inputs});
    const TensorValues bias = find_(name + ".bias", {outputs});
    return pack(precision, weight.get(), outputs, inputs, inputs, bias.get(), pad_outputs);
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
    return {
        pack(precision_, taps.data(), 3 * channels, size, size, nullptr),
        copy(find_(name + ".conv1.bias", {channels}), channels),
        pack(precision_, windows.data(), size, 3 * channels, 3 * channels, find_(name + ".conv2.bias", {size}).get())};
  }

  Encoder context_encoder() const { return layers_of("context_encoder", config_.context_layers); }

  Encoder response_encoder(const std::string& name) const {
    const std::size_t size = config_.hidden_size;
    const TensorValues values = find_(name + ".projection.weight", {size, 2 * size});
    const float* projection = values.get();
    Encoder encoder = layers_of(name, config_.num_layers);
    encoder.projection = pack(precision_, projection, size, size, 2 * size, nullptr);
    encoder.emotion_projection = pack(precision_, projection + size, size, size, 2 * size, nullptr);
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

  DecoderLayer decoder_layer(const std::string& name) const {
    const std::size_t size = config_.hidden_size, depth = config_.attention_depth;
    const std::string self = name + ".self_attention", memory = name + ".memory_attention";
    return {norm(name + ".norm_self_attention"),
            stacked({self + ".query", self + ".key", self + ".value"}, depth, size),
            stacked({self + ".output"}, size, depth),
            norm(name + ".norm_memory_attention"),
            stacked({memory + ".query"}, depth, size),
            stacked({memory + ".key", memory + ".value"}, depth, size),
            stacked({memory + ".output"}, size, depth),
            norm(name + ".norm_ffn"),
            ffn(name + ".ffn")};
  }

  EmotionGroup group(const std::string& name, const std::string& sigma, std::vector<std::int32_t> emotions) const {
    const std::size_t size = config_.hidden_size;
    const std::size_t count = emotions.size();
    return {std::move(emotions), linear("prior.fc_mu." + name, size, size, Precision::kFloat32),
            linear("prior.fc_sigma." + sigma, size, size, Precision::kFloat32),
            linear("prior.fc_d." + name, count, size, Precision::kFloat32)};
  }

  static AlignedVector<float> copy(const TensorValues& values, std::size_t count) {
    return {values.get(), values.get() + count};
  }

 private:
  const ModelConfig& config_;
  Precision precision_;
  const FindTensor& find_;
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
void add_mime_parts(Model& model, const Maker& maker, const FindTensor& find) {
  const ModelConfig& config = model.config;
  const std::size_t size = config.hidden_size;
  model.emotion_query =
      pack(Precision::kFloat32, find("emotion_query.weight", {size, size}).get(), size, size, size, nullptr);
  const TensorValues emotions = find("emotion_embedding.weight", {kEmotions, size});
  model.emotion_logits = pack(Precision::kFloat32, emotions.get(), kEmotions, size, size, nullptr);
  model.emotions = Maker::copy(emotions, kEmotions * size);
  model.fc_sample = maker.linear("prior.fc_sample", size, size, Precision::kFloat32);
  model.groups = make_groups(config, maker);
  for (int i = 0; i < (config.shared_response_encoder ? 1 : 2); ++i) {
    model.response_encoders.push_back(maker.response_encoder("response_encoders." + std::to_string(i)));
  }
  model.fc_contrib = maker.linear("fusion.fc_contrib", 2 * size, 2 * size, model.precision);
  model.fc_fused = maker.linear("fusion.fc_fused", size, 2 * size, model.precision);
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

}  // namespace

Model make_model(const ModelConfig& config, Precision precision, bool screened, Isa isa, const FindTensor& find) {
  const Maker maker(config, precision, find);
  const std::size_t size = config.hidden_size;
  Model model;
  model.config = config;
  model.precision = precision;
  model.kernels = &kernels(isa);
  // The greatest tensors first: what packing takes besides is least while little else is there.
  model.vocabulary = maker.linear("fc_decode", config.vocab_size, size, precision, kBlock);
  std::fill(model.vocabulary.bias.begin() + static_cast<std::ptrdiff_t>(config.vocab_size), model.vocabulary.bias.end(),
            -std::numeric_limits<float>::infinity());
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
