#include "bindings/native/model_config.h"

#include <algorithm>
#include <array>
#include <string>

#include "bindings/checks.h"
#include "bindings/convert.h"

namespace mime_fast {
namespace {

ModelType model_type_of(const py::dict& values) {
  if (!values.contains("model_type")) throw py::value_error("missing key 'model_type'");
  const py::object value = values["model_type"];
  const std::string name = py::isinstance<py::str>(value) ? value.cast<std::string>() : "";
  if (name == "mime") return ModelType::kMime;
  if (name == "multi-tr") return ModelType::kMultiTr;
  if (name == "moel") return ModelType::kMoel;
  throw py::value_error("model_type=" + py::repr(value).cast<std::string>() + ": must be 'mime', 'multi-tr' or 'moel'");
}

void read_mime_keys(const py::dict& values, ModelConfig& config) {
  config.drop_ctx = checked_truth(values, "drop_ctx");
  config.shared_response_encoder = checked_truth(values, "shared_response_encoder");
  config.separate_sigma = checked_truth(values, "separate_sigma");
  config.emotion_mimicry = checked_truth(values, "emotion_mimicry");
  config.emotion_grouping = checked_truth(values, "emotion_grouping");
  if (config.emotion_mimicry && !config.emotion_grouping) {
    throw py::value_error("emotion_mimicry: must be False without emotion_grouping");
  }
}

void read_emotion_groups(const py::tuple& emotion_groups, ModelConfig& config) {
  std::array<int, kEmotions> seen{};
  if (emotion_groups.size() != 2) throw py::value_error("emotion_groups: must be (positive, negative)");
  for (std::size_t g = 0; g < 2; ++g) {
    const auto ids = checked_array<std::int32_t>("emotion_groups", emotion_groups[g], 1, "[n_g]");
    check_items<std::int32_t>("emotion_groups", ids, 0, static_cast<std::int32_t>(kEmotions) - 1);
    (g == 0 ? config.positive : config.negative).assign(ids.data(), ids.data() + ids.size());
    for (py::ssize_t i = 0; i < ids.size(); ++i) ++seen[static_cast<std::size_t>(ids.data()[i])];
  }
  if (config.positive.empty() || config.negative.empty() ||
      !std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; })) {
    throw py::value_error("emotion_groups: must have each emotion once, and some in both groups");
  }
}

}  // namespace

ModelConfig model_config_of(const py::dict& values, const py::tuple& emotion_groups) {
  ModelConfig config;
  config.model_type = model_type_of(values);
  config.vocab_size = checked_count(values, "vocab_size", 7, kMaxSize);
  config.hidden_size = checked_count(values, "hidden_size", 4, kMaxSize);
  config.num_layers = checked_count(values, "num_layers", 1, kMaxSize);
  const std::size_t own = checked_count(values, "context_layers", 0, kMaxSize);
  config.context_layers = own == 0 ? config.num_layers : own;
  config.num_heads = checked_count(values, "num_heads", 1, kMaxSize);
  config.attention_depth = checked_count(values, "attention_depth", 1, kMaxSize);
  config.ffn_channels = checked_count(values, "ffn_channels", 1, kMaxSize);
  config.max_positions = checked_count(values, "max_positions", 1, kMaxSize);
  if (config.hidden_size % 2 != 0) throw py::value_error("hidden_size: must be even");
  if (config.attention_depth % config.num_heads != 0) {
    throw py::value_error("attention_depth: must be a multiple of num_heads");
  }
  config.speaker_table = checked_truth(values, "speaker_table");
  config.final_relu = checked_truth(values, "final_relu");
  config.unbiased_norm = checked_truth(values, "unbiased_norm");
  if (config.model_type == ModelType::kMime) read_mime_keys(values, config);
  if (config.model_type == ModelType::kMoel) {
    config.top_listeners = checked_count(values, "top_listeners", 1, static_cast<std::int64_t>(kEmotions));
    config.min_listener_weight = static_cast<float>(checked_number(values, "min_listener_weight", 0.0, 1.0));
  }
  read_emotion_groups(emotion_groups, config);
  return config;
}

}  // namespace mime_fast
