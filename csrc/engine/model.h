// The model's weights, packed once. Names follow mime_fast/reference; C hidden, A attention depth, F channels.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mime_fast/kernels.h"
#include "mime_fast/matrix.h"
#include "mime_fast/screen.h"

namespace mime_fast {

constexpr std::size_t kEmotions = 32;
constexpr std::int32_t kPadId = 1;
constexpr std::int32_t kEosId = 2;
constexpr std::int32_t kSosId = 3;
constexpr std::int32_t kUserId = 4;

enum class ModelType { kMime, kMultiTr, kMoel };

struct ModelConfig {
  ModelType model_type = ModelType::kMime;
  std::size_t vocab_size = 0;
  std::size_t hidden_size = 0;
  std::size_t num_layers = 0;
  std::size_t context_layers = 0;  // only of the context encoder
  std::size_t num_heads = 0;
  std::size_t attention_depth = 0;
  std::size_t ffn_channels = 0;
  std::size_t max_positions = 0;
  bool speaker_table = false;
  bool final_relu = false;
  bool unbiased_norm = false;
  // MIME
  bool drop_ctx = false;
  bool shared_response_encoder = false;
  bool separate_sigma = false;
  bool emotion_mimicry = false;
  bool emotion_grouping = false;
  std::vector<std::int32_t> positive, negative;  // emotions in the order of the model's rows
  // MoEL
  std::size_t top_listeners = 0;
  float min_listener_weight = 0;  // a listener of no more is not used

  bool is_positive(std::int32_t emotion) const {
    return std::find(positive.begin(), positive.end(), emotion) != positive.end();
  }
};

// The float32 values of a tensor of the reference model, whose shape must be the given one. They may be read from a
// file and are kept no longer than they are needed; a few tensors are asked for again.
using TensorValues = std::shared_ptr<const float>;
using FindTensor = std::function<TensorValues(const std::string& name, const std::vector<std::size_t>& shape)>;

struct Norm {
  AlignedVector<float> weight, bias;
};

// Two convolutions of width 3: `taps` gives, for one position, what it adds to the hidden of the three positions that
// see it; `second` reads three hiddens side by side.
struct FeedForward {
  PackedMatrix taps;          // [3F, C]
  AlignedVector<float> bias;  // [F], of the first convolution
  PackedMatrix second;        // [C, 3F]
};

struct EncoderLayer {
  Norm norm_attention;
  PackedMatrix query_key_value;  // [3A, C]
  PackedMatrix attention_output;
  Norm norm_ffn;
  FeedForward ffn;
};

struct Encoder {
  PackedMatrix projection;             // of H (eq. 20-21), in the emotion encoders
  AlignedVector<float> emotion_parts;  // [32, C], of each emotion in place of m, there as well
  std::vector<EncoderLayer> layers;
  Norm norm;
};

struct DecoderLayer {
  Norm norm_self_attention;
  PackedMatrix query_key_value;
  PackedMatrix self_output;
  Norm norm_memory_attention;
  PackedMatrix memory_query;
  PackedMatrix memory_key_value;  // [2A, C], or [2A, 2C] where it contains fc_fused
  PackedMatrix memory_output;
  Norm norm_ffn;
  FeedForward ffn;
};

// One emotion group of the prior, always in float32. d_g is linear in z: what mu gives it is one product, `mean`, and
// only the noise times its deviation is left to `d`.
struct EmotionGroup {
  std::vector<std::int32_t> emotions;
  PackedMatrix mean;  // fc_d after fc_mu, [n, C]
  PackedMatrix sigma;
  PackedMatrix d;  // [n, C], without its bias
};

struct Model {
  ModelConfig config;
  const Kernels* kernels = nullptr;

  // The embeddings after the projections that open an encoder or the decoder, scaled by the root of C: a look-up then
  // takes the place of a product, in float32 whatever the precision.
  AlignedVector<float> context_words;     // [V, C]
  AlignedVector<float> context_speakers;  // [3, C]
  AlignedVector<float> response_words;    // [V, C]
  AlignedVector<float> positions;         // [max_positions, C]
  Encoder context_encoder;
  PackedMatrix emotion_logits;  // [32, C], float32; in MIME E_E W_E (eq. 4)

  // Only MIME.
  PackedMatrix fc_sample;  // float32
  std::vector<EmotionGroup> groups;
  std::vector<Encoder> response_encoders;
  PackedMatrix fc_contrib;
  std::optional<PackedMatrix> fc_fused;  // none: the decoder's memory_key_value contain it

  std::vector<DecoderLayer> listeners;  // MoEL: one for each emotion, and the shared one
  std::vector<DecoderLayer> decoder_layers;
  Norm decoder_norm;
  PackedMatrix vocabulary;                 // padded to kBlock, padding never wins and has no weight
  std::optional<ScreenedMatrix> screened;  // the same for screening, where that was asked for and pays

  // The layers that a dialogue may go through, listeners first.
  std::size_t layers() const { return listeners.size() + decoder_layers.size(); }
  const DecoderLayer& layer(std::size_t i) const {
    return i < listeners.size() ? listeners[i] : decoder_layers[i - listeners.size()];
  }
  std::size_t head_depth() const { return config.attention_depth / config.num_heads; }
  std::size_t vocab_chunks() const { return (vocabulary.padded / kBlock + kChunkBlocks - 1) / kChunkBlocks; }
};

// screened: float32, but for the projection to the vocabulary (engine/screening.h).
Model make_model(const ModelConfig& config, Precision precision, bool screened, Isa isa, const FindTensor& find);

}  // namespace mime_fast
