#include "mime_fast/screen.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "mime_fast/axes.h"

namespace mime_fast {
namespace {

constexpr double kHalfUlp = 0x1p-24;      // of float32
constexpr double kSpare = 1.001;          // for the rounding of the bounds themselves
constexpr double kLeastNormal = 1.2e-38;  // what a product below it may lose

using Vector = std::vector<double>;

float above(double x) {
  const double wanted = x * kSpare;
  if (!(wanted <= static_cast<double>(std::numeric_limits<float>::max()))) {
    return std::isnan(wanted) ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  }
  return std::nextafter(static_cast<float>(wanted), std::numeric_limits<float>::infinity());
}

// r^ of one word as the packed matrix has it.
void dequantize(const PackedMatrix& packed, std::size_t output, double* values) {
  const std::uint32_t* first = packed.panels.data() + output / kPanelWidth * packed.panel_words + output % kPanelWidth;
  const auto scale = static_cast<double>(packed.scale[output]);
  for (std::size_t i = 0; i < packed.inputs; ++i) {
    std::int8_t quantized[4];
    std::memcpy(quantized, first + i / 4 * kPanelWidth, sizeof quantized);
    values[i] = scale * quantized[i % 4];
  }
}

}  // namespace

ScreenedMatrix screen(const float* weight, std::size_t outputs, std::size_t inputs, const float* bias,
                      Int8Range range) {
  ScreenedMatrix made;
  const Vector found = leading_axes(weight, outputs, inputs, kScreenAxes);
  made.axes.assign(found.begin(), found.end());
  const Vector axes(made.axes.begin(), made.axes.end());  // as they are used
  const std::size_t padded = round_up(outputs, kBlock), blocks = padded / kBlock;
  made.loadings.assign(kScreenAxes * padded, 0.0f);
  // What a word keeps beside the axes, in float64.
  const auto rest_of = [&](std::size_t i, double* rest) {
    std::copy_n(weight + i * inputs, inputs, rest);
    for (std::size_t j = 0; j < kScreenAxes; ++j) {
      const auto loading = static_cast<double>(made.loadings[j * padded + i]);
      for (std::size_t k = 0; k < inputs; ++k) rest[k] -= loading * axes[j * inputs + k];
    }
  };
  AlignedVector<float> rests(outputs * inputs);
  Vector word(inputs), rest(inputs), coarse(inputs);
  for (std::size_t i = 0; i < outputs; ++i) {
    std::copy_n(weight + i * inputs, inputs, word.data());
    for (std::size_t j = 0; j < kScreenAxes; ++j) {
      made.loadings[j * padded + i] = static_cast<float>(dot(word.data(), axes.data() + j * inputs, inputs));
    }
    rest_of(i, rest.data());
    std::copy_n(rest.data(), inputs, rests.data() + i * inputs);
  }
  made.coarse = pack({Precision::kInt8, range}, rests.data(), outputs, inputs, inputs, bias, kBlock);
  std::fill(made.coarse.bias.begin() + static_cast<std::ptrdiff_t>(outputs), made.coarse.bias.end(),
            -std::numeric_limits<float>::infinity());
  const double ulps = static_cast<double>(inputs + 32) * kHalfUlp * 1.01;
  made.error.assign(kErrorTerms * padded, 0.0f);
  for (std::size_t i = 0; i < outputs; ++i) {
    rest_of(i, rest.data());
    dequantize(made.coarse, i, coarse.data());
    std::copy_n(weight + i * inputs, inputs, word.data());
    double loadings = 0, askew = 0;
    for (std::size_t j = 0; j < kScreenAxes; ++j) {
      loadings += std::fabs(static_cast<double>(made.loadings[j * padded + i]));
      askew += std::fabs(dot(rest.data(), axes.data() + j * inputs, inputs));
    }
    const double coarse_norm = norm(coarse.data(), inputs);
    for (std::size_t k = 0; k < inputs; ++k) rest[k] -= coarse[k];
    const double rounded = ulps * (norm(word.data(), inputs) + 1.01 * loadings + 3.0 * coarse_norm) + 1.01 * askew;
    const double at_zero =
        ulps * std::fabs(static_cast<double>(made.coarse.bias[i])) + static_cast<double>(inputs + 32) * kLeastNormal;
    const double terms[kErrorTerms] = {norm(rest.data(), inputs), coarse_norm, rounded, at_zero};
    for (std::size_t term = 0; term < kErrorTerms; ++term) made.error[i * kErrorTerms + term] = above(terms[term]);
  }
  made.block_error.assign(kErrorTerms * blocks, 0.0f);
  for (std::size_t term = 0; term < kErrorTerms; ++term) {
    double sum = 0;
    made.largest_error[term] = 0;
    for (std::size_t i = 0; i < outputs; ++i) {
      const float error = made.error[i * kErrorTerms + term];
      float& block = made.block_error[i / kBlock * kErrorTerms + term];
      if (!(error <= block)) block = error;  // a NaN stays
      if (!(error <= made.largest_error[term])) made.largest_error[term] = error;
      sum += static_cast<double>(error);
    }
    made.mean_error[term] = static_cast<float>(sum / static_cast<double>(outputs));
  }
  made.stride = round_up(inputs, kLanes);
  made.rows.assign(outputs * made.stride, 0.0f);
  for (std::size_t i = 0; i < outputs; ++i)
    std::copy_n(weight + i * inputs, inputs, made.rows.data() + i * made.stride);
  return made;
}

}  // namespace mime_fast
