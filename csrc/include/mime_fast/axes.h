// Directions that the rows of a matrix share.
#pragma once

#include <cstddef>
#include <vector>

namespace mime_fast {

double dot(const double* a, const double* b, std::size_t size);
double norm(const double* a, std::size_t size);

// About the leading right singular vectors of W [outputs, inputs], found from 2,048 of its rows: [count, inputs],
// orthonormal; zeros where there are not as many, or where W is not finite.
std::vector<double> leading_axes(const float* weight, std::size_t outputs, std::size_t inputs, std::size_t count);

}  // namespace mime_fast
