#include "mime_fast/philox.h"

#include <algorithm>

namespace mime_fast {

template <typename Real>
void fill_normals(const PhiloxDraw& draw, std::size_t size, Real* out) {
  for (std::size_t start = 0; start < size; start += kNumbersPerBlock) {
    const PhiloxWords words = philox_block(draw, static_cast<std::uint32_t>(start / kNumbersPerBlock));
    double normals[kNumbersPerBlock];
    normal_pair(words.x[0], words.x[1], normals);
    normal_pair(words.x[2], words.x[3], normals + 2);
    std::transform(normals, normals + std::min(kNumbersPerBlock, size - start), out + start,
                   [](double normal) { return static_cast<Real>(normal); });
  }
}

template void fill_normals<float>(const PhiloxDraw&, std::size_t, float*);
template void fill_normals<double>(const PhiloxDraw&, std::size_t, double*);

}  // namespace mime_fast
