#include "engine/response_emotion.h"

#include <algorithm>
#include <cmath>

#include "mime_fast/philox.h"

namespace mime_fast {

void softmax(float* values, std::size_t count) {
  const float best = *std::max_element(values, values + count);
  float total = 0;
  for (std::size_t i = 0; i < count; ++i) total += values[i] = std::exp(values[i] - best);
  for (std::size_t i = 0; i < count; ++i) values[i] /= total;
}

AlignedVector<float> sample(const Model& model, Scratch& scratch, const AlignedVector<float>& c,
                            const Requests& requests, const std::size_t* which) {
  const std::size_t size = model.config.hidden_size, count = c.size() / size;
  AlignedVector<float> hidden(count * size), deviation(count * size), noise(size), d(count * kEmotions);
  AlignedVector<float> weights(count * kEmotions, 0.0f);
  scratch.linear(model.fc_sample, {c.data(), size}, count, hidden.data(), size, {Activation::kRelu});
  for (std::size_t g = 0; g < model.groups.size(); ++g) {
    const EmotionGroup& group = model.groups[g];
    const std::size_t members = group.emotions.size();
    scratch.linear(group.mean, {hidden.data(), size}, count, d.data(), members);
    if (requests.stochastic) {
      scratch.linear(group.sigma, {hidden.data(), size}, count, deviation.data(), size);  // its logarithm, twice
      for (std::size_t n = 0; n < count; ++n) {
        PhiloxDraw draw{};
        draw.seed = requests.seeds[which[n]];
        draw.request_id = requests.request_ids[which[n]];
        draw.purpose = static_cast<std::uint32_t>(g);
        fill_normals(draw, size, noise.data());
        float* row = deviation.data() + n * size;
        for (std::size_t c = 0; c < size; ++c) row[c] = noise[c] * std::exp(0.5f * row[c]);
      }
      scratch.linear(group.d, {deviation.data(), size}, count, d.data(), members, {Activation::kNone, d.data()});
    }
    for (std::size_t n = 0; n < count; ++n) {
      softmax(d.data() + n * members, members);
      for (std::size_t i = 0; i < members; ++i) {
        weights[n * kEmotions + static_cast<std::size_t>(group.emotions[i])] = d[n * members + i];
      }
    }
  }
  return weights;
}

}  // namespace mime_fast
