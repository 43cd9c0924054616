#include "mime_fast/axes.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace mime_fast {

double dot(const double* a, const double* b, std::size_t size) {
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

double norm(const double* a, std::size_t size) { return std::sqrt(dot(a, a, size)); }

namespace {

constexpr std::size_t kSampled = 2048;  // words that the axes are found from
constexpr int kIterations = 12;         // of the orthogonal iteration

using Vector = std::vector<double>;

// Orthonormal rows [count, K]; a row that has nothing of its own becomes zero.
void orthonormalize(Vector& axes, std::size_t count, std::size_t inputs) {
  for (std::size_t j = 0; j < count; ++j) {
    double* axis = axes.data() + j * inputs;
    const double before = norm(axis, inputs);
    for (int twice = 0; twice < 2; ++twice) {
      for (std::size_t i = 0; i < j; ++i) {
        const double* other = axes.data() + i * inputs;
        const double along = dot(axis, other, inputs);
        for (std::size_t k = 0; k < inputs; ++k) axis[k] -= along * other[k];
      }
    }
    const double length = norm(axis, inputs);
    const bool own = std::isfinite(length) && length > 1e-9 * before && length > 1e-150;
    for (std::size_t k = 0; k < inputs; ++k) axis[k] = own ? axis[k] / length : 0.0;
  }
}

}  // namespace

std::vector<double> leading_axes(const float* weight, std::size_t outputs, std::size_t inputs, std::size_t count) {
  Vector axes(count * inputs), next(axes.size()), word(inputs);
  std::uint64_t state = 1;
  for (double& value : axes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<double>(state >> 40) * 0x1p-23 - 1.0;
  }
  orthonormalize(axes, count, inputs);
  const std::size_t step = (outputs + kSampled - 1) / kSampled;
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    std::fill(next.begin(), next.end(), 0.0);
    for (std::size_t i = 0; i < outputs; i += step) {
      std::copy_n(weight + i * inputs, inputs, word.data());
      for (std::size_t j = 0; j < count; ++j) {
        const double along = dot(word.data(), axes.data() + j * inputs, inputs);
        for (std::size_t k = 0; k < inputs; ++k) next[j * inputs + k] += along * word[k];
      }
    }
    axes = next;
    orthonormalize(axes, count, inputs);
  }
  return axes;
}

}  // namespace mime_fast
