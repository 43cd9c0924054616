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

Mixture sample(const Model& model, Scratch& scratch, const AlignedVector<float>& c, const Requests& requests,
               const std::size_t* which) {
  const std::size_t size = model.config.hidden_size, count = c.size() / size;
  AlignedVector<float> hidden(count * size), z(count * size), log_variance(count * size), noise(size);
  AlignedVector<float> d(count * kEmotions);
  scratch.linear(model.fc_sample, {c.data(), size}, count, hidden.data(), size, {Activation::kRelu});
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

}  // namespace mime_fast
