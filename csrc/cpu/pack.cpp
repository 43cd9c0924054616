#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "mime_fast/axes.h"
#include "mime_fast/matrix.h"

namespace mime_fast {
namespace {

std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

std::uint32_t bfloat16_bits(float x) {
  const std::uint32_t bits = bits_of(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
}

// 170, less what rounding may add to eight weights.
constexpr float kMostOfEight = 166.0f;
static_assert(170 * 2 * activation_steps(Int8Range::kNarrow) < 1 << 15);

// The largest sum of the positive, or of the negative weights among eight whose products are added in 16 bits
// (matrix.h). Activations are not negative there, so the others only take away from it.
float heaviest_eight(const float* weight, std::size_t inputs) {
  float heaviest = 0;
  for (std::size_t first = 0; first < inputs; first += 4 * kInt8Words) {
    float positive[2] = {}, negative[2] = {};
    for (std::size_t i = first; i < std::min(inputs, first + 4 * kInt8Words); ++i) {
      positive[i % 4 / 2] += std::max(weight[i], 0.0f);
      negative[i % 4 / 2] -= std::min(weight[i], 0.0f);
    }
    heaviest = std::max({heaviest, positive[0], positive[1], negative[0], negative[1]});
  }
  return heaviest;
}

// Weights of one output in int8: rounded w / scale; NaN where a weight is not finite.
float quantize(const float* weight, std::size_t inputs, Int8Range range, std::int8_t* quantized) {
  float largest = 0;
  bool finite = true;
  for (std::size_t i = 0; i < inputs; ++i) {
    finite = finite && std::isfinite(weight[i]);
    largest = std::max(largest, std::fabs(weight[i]));
  }
  std::fill_n(quantized, inputs, std::int8_t{0});
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  float scale = largest / 127.0f;
  if (range == Int8Range::kNarrow) scale = std::max(scale, heaviest_eight(weight, inputs) / kMostOfEight);
  if (scale == 0.0f) return 0.0f;
  for (std::size_t i = 0; i < inputs; ++i) {
    const float rounded = std::nearbyint(weight[i] / scale);
    quantized[i] = static_cast<std::int8_t>(std::clamp(rounded, -127.0f, 127.0f));
  }
  return scale;
}

// row_of(output) gives the weights [inputs] of an output, which need last no longer than until it is asked again.
template <typename RowOf>
PackedMatrix pack_rows(Format format, std::size_t outputs, std::size_t inputs, const float* bias,
                       std::size_t pad_outputs, RowOf row_of) {
  const Precision precision = format.precision;
  PackedMatrix packed;
  packed.precision = precision;
  packed.outputs = outputs;
  packed.inputs = inputs;
  packed.words = words_of(precision, inputs);
  packed.padded = round_up(outputs, pad_outputs);
  packed.panel_words = round_up(packed.words, precision == Precision::kInt8 ? kInt8Words : 1) * kPanelWidth;
  packed.panels.assign(packed.padded / kPanelWidth * packed.panel_words, 0);
  packed.bias.assign(packed.padded, 0.0f);
  if (bias != nullptr) std::copy_n(bias, outputs, packed.bias.data());
  if (precision == Precision::kInt8) {
    packed.scale.assign(packed.padded, 0.0f);
    packed.correction.assign(packed.padded, 0);
  }
  std::vector<std::int8_t> quantized(packed.words * 4, 0);
  for (std::size_t output = 0; output < outputs; ++output) {
    const float* row = row_of(output);
    std::uint32_t* first = packed.panels.data() + output / kPanelWidth * packed.panel_words + output % kPanelWidth;
    if (precision == Precision::kInt8) {
      packed.scale[output] = quantize(row, inputs, format.range, quantized.data());
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < inputs; ++i) sum += quantized[i];
      packed.correction[output] = -zero_point(format.range) * sum;
    }
    for (std::size_t word = 0; word < packed.words; ++word) {
      std::uint32_t bits = 0;
      if (precision == Precision::kFloat32) {
        bits = bits_of(row[word]);
      } else if (precision == Precision::kBfloat16) {
        bits = bfloat16_bits(row[2 * word]);
        if (2 * word + 1 < inputs) bits |= bfloat16_bits(row[2 * word + 1]) << 16;
      } else {
        std::memcpy(&bits, quantized.data() + 4 * word, sizeof bits);
      }
      first[word * kPanelWidth] = bits;
    }
  }
  return packed;
}

// With the leading direction taken out.
PackedMatrix pack_rests(Format format, const float* weight, std::size_t outputs, std::size_t inputs, const float* bias,
                        std::size_t pad_outputs) {
  const std::vector<double> found = leading_axes(weight, outputs, inputs, 1);
  const AlignedVector<float> axis(found.begin(), found.end());
  const std::vector<double> used(axis.begin(), axis.end());
  AlignedVector<float> loading(round_up(outputs, pad_outputs), 0.0f);
  std::vector<double> word(inputs);
  std::vector<float> rest(inputs);
  PackedMatrix packed = pack_rows(format, outputs, inputs, bias, pad_outputs, [&](std::size_t output) {
    std::copy_n(weight + output * inputs, inputs, word.data());
    loading[output] = static_cast<float>(dot(word.data(), used.data(), inputs));
    for (std::size_t i = 0; i < inputs; ++i) {
      rest[i] = static_cast<float>(word[i] - static_cast<double>(loading[output]) * used[i]);
    }
    return rest.data();
  });
  packed.axis = axis;
  packed.loading = std::move(loading);
  return packed;
}

}  // namespace

PackedMatrix pack(Format format, const float* weight, std::size_t outputs, std::size_t inputs, std::size_t stride,
                  const float* bias, std::size_t pad_outputs) {
  return pack_rows(format, outputs, inputs, bias, pad_outputs,
                   [=](std::size_t output) { return weight + output * stride; });
}

PackedMatrix pack_vocabulary(Format format, const float* weight, std::size_t outputs, std::size_t inputs,
                             const float* bias, std::size_t pad_outputs) {
  PackedMatrix packed = format.precision == Precision::kInt8
                            ? pack_rests(format, weight, outputs, inputs, bias, pad_outputs)
                            : pack(format, weight, outputs, inputs, inputs, bias, pad_outputs);
  std::fill(packed.bias.begin() + static_cast<std::ptrdiff_t>(outputs), packed.bias.end(),
            -std::numeric_limits<float>::infinity());
  return packed;
}

}  // namespace mime_fast
