#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

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

// 258 (* 127 < 2^15), less four for ~w in place of -w (vec_avx2.h) and two that roundings may add.
constexpr float kMostOfFour = 252.0f;

// The largest sum of four magnitudes whose products are added in 16 bits (matrix.h).
float heaviest_four(const float* weight, std::size_t inputs) {
  const auto magnitude = [&](std::size_t i) { return i < inputs ? std::fabs(weight[i]) : 0.0f; };
  float heaviest = 0;
  for (std::size_t i = 0; i < inputs; i += i % 8 == 0 ? 2 : 6) {
    heaviest = std::max(heaviest, magnitude(i) + magnitude(i + 1) + magnitude(i + 4) + magnitude(i + 5));
  }
  return heaviest;
}

// Weights of one output in int8: rounded w / scale; NaN where a weight is not finite.
float quantize(const float* weight, std::size_t inputs, std::int8_t* quantized) {
  float largest = 0;
  bool finite = true;
  for (std::size_t i = 0; i < inputs; ++i) {
    finite = finite && std::isfinite(weight[i]);
    largest = std::max(largest, std::fabs(weight[i]));
  }
  std::fill_n(quantized, inputs, std::int8_t{0});
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  const float scale = std::max(largest / 127.0f, heaviest_four(weight, inputs) / kMostOfFour);
  if (scale == 0.0f) return 0.0f;
  for (std::size_t i = 0; i < inputs; ++i) {
    const float rounded = std::nearbyint(weight[i] / scale);
    quantized[i] = static_cast<std::int8_t>(std::clamp(rounded, -127.0f, 127.0f));
  }
  return scale;
}

}  // namespace

PackedMatrix pack(Precision precision, const float* weight, std::size_t outputs, std::size_t inputs, std::size_t stride,
                  const float* bias, std::size_t pad_outputs) {
  PackedMatrix packed;
  packed.precision = precision;
  packed.outputs = outputs;
  packed.inputs = inputs;
  packed.words = words_of(precision, inputs);
  packed.padded = round_up(outputs, pad_outputs);
  packed.panels.assign(packed.padded * packed.words, 0);
  packed.bias.assign(packed.padded, 0.0f);
  if (bias != nullptr) std::copy_n(bias, outputs, packed.bias.data());
  if (precision == Precision::kInt8) {
    packed.scale.assign(packed.padded, 0.0f);
    packed.correction.assign(packed.padded, 0);
  }
  std::vector<std::int8_t> quantized(packed.words * 4, 0);
  for (std::size_t output = 0; output < outputs; ++output) {
    const float* row = weight + output * stride;
    const std::size_t panel = output / kPanelWidth * kPanelWidth;
    std::uint32_t* first = packed.panels.data() + panel * packed.words + (output - panel);
    if (precision == Precision::kInt8) {
      packed.scale[output] = quantize(row, inputs, quantized.data());
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < inputs; ++i) sum += quantized[i];
      packed.correction[output] = -kZeroPoint * sum;
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

}  // namespace mime_fast
