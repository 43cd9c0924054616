#include <algorithm>
#include <cmath>
#include <memory>

#include "checks.h"
#include "engine/run.h"

namespace mime_fast {
namespace {

Model small_model(Precision precision, bool screened, Isa isa) {
  ModelConfig config;
  config.vocab_size = 1100;
  config.hidden_size = 36;
  config.num_layers = 1;
  config.context_layers = 2;
  config.num_heads = 2;
  config.attention_depth = 10;
  config.ffn_channels = 7;
  config.max_positions = 64;
  config.emotion_mimicry = config.emotion_grouping = true;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(kEmotions); ++i) {
    (i % 3 == 0 ? config.positive : config.negative).push_back(i);
  }
  return make_model(
      config, precision, screened, isa, [](const std::string& name, const std::vector<std::size_t>& shape) {
        std::size_t count = 1, inputs = 1;
        for (std::size_t i = 0; i < shape.size(); ++i) count *= shape[i], inputs *= i > 0 ? shape[i] : 1;
        unsigned seed = 0;
        for (const char letter : name) seed = seed * 131 + static_cast<unsigned char>(letter);
        const float deviation = (name == "fc_decode.weight" ? 3.0f : 1.0f) / std::sqrt(static_cast<float>(inputs));
        auto values = std::make_shared<std::vector<float>>(numbers(count, seed, shape.size() > 1 ? deviation : 0.3f));
        return TensorValues(values, values->data());
      });
}

std::vector<std::vector<Reply>> replies(const Model& model, std::size_t beams) {
  std::vector<std::int32_t> tokens, states;
  std::vector<std::int64_t> offsets = {0};
  std::mt19937 source(9);
  for (const std::size_t length : {3, 20, 9, 41, 1}) {
    for (std::size_t i = 0; i <= length; ++i) {
      tokens.push_back(i == 0 ? 0 : 7 + static_cast<std::int32_t>(source() % 1000));
      states.push_back(kUserId);
    }
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  const std::size_t count = offsets.size() - 1;
  std::vector<std::uint64_t> seeds(count, 3), ids = {0, 1, 2, 3, 4};
  std::vector<std::int32_t> emotions(count, 5), mimicked(count);
  std::vector<float> logits(count * kEmotions), weights(count * kEmotions), share(count);
  SearchOptions options;
  options.num_beams = beams;
  options.num_return_sequences = beams;
  options.max_new_tokens = 9;
  RunOptions run;
  run.should_stop = [](bool) { return false; };
  return run_generate(model, run, options, {tokens.data(), states.data(), offsets.data()},
                      {seeds.data(), ids.data(), emotions.data(), true}, {}, count,
                      {logits.data(), mimicked.data(), weights.data(), share.data()});
}

struct Way {
  const char* name;
  Precision precision;
  bool screened;
  double share;  // of the replies that have the same words as plain C++'s of the same precision
  double bound;  // of their log-probs
};

// int8 and bfloat16 round activations, and one that falls the other way may change words; more so where int8's range is
// another one.
constexpr Way kWays[] = {{"float32", Precision::kFloat32, false, 1.0, 1e-3},
                         {"bfloat16", Precision::kBfloat16, false, 0.8, 0.5},
                         {"int8", Precision::kInt8, false, 0.8, 0.5},
                         {"screened", Precision::kFloat32, true, 1.0, 2e-2}};

}  // namespace

void check_engine(Isa isa) {
  for (const Way& way : kWays) {
    const Model model = small_model(way.precision, way.screened, isa);
    const Model plain = small_model(way.precision, false, Isa::kGeneric);
    for (const std::size_t beams : {1, 3}) {
      const auto found = replies(model, beams), expected = replies(plain, beams);
      std::size_t same = 0, all = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        for (std::size_t j = 0; j < std::min(found[i].size(), expected[i].size()); ++j, ++all) {
          same += found[i][j].token_ids == expected[i][j].token_ids &&
                  std::fabs(found[i][j].logprob - expected[i][j].logprob) < way.bound;
        }
      }
      const bool other_range = way.precision == Precision::kInt8 && int8_range_of(isa) != int8_range_of(Isa::kGeneric);
      const double share = other_range ? 0.4 : way.share;
      expect(all >= 5 && static_cast<double>(same) >= share * static_cast<double>(all), isa_name(isa),
             std::string("generate ") + way.name + ", " + std::to_string(beams) + " beams: " + std::to_string(same) +
                 " of " + std::to_string(all) + " replies equal");
    }
  }
}

}  // namespace mime_fast
