#include "engine/scratch.h"

namespace mime_fast {

Rows Scratch::prepared(const PackedMatrix& weight, Strided x, std::size_t rows) {
  if (weight.precision == Precision::kFloat32) {
    return {reinterpret_cast<const std::uint32_t*>(x.values), x.stride, nullptr, nullptr};
  }
  const std::size_t words = kernels.row_words(weight.precision, weight.inputs);
  if (words_.size() < rows * words) words_.resize(rows * words);
  if (scales_.size() < rows) {
    scales_.resize(rows);
    along_.resize(rows);
  }
  kernels.prepare(weight, x.values, x.stride, rows, words_.data(), scales_.data(), along_.data());
  return {words_.data(), words, scales_.data(), weight.axis.empty() ? nullptr : along_.data()};
}

void Scratch::linear(const PackedMatrix& weight, Strided x, std::size_t rows, float* out, std::size_t out_stride,
                     const LinearOptions& options) {
  GemmArgs args{};
  args.weight = &weight;
  args.x = prepared(weight, x, rows);
  args.rows = rows;
  args.out = out;
  args.out_stride = out_stride;
  args.residual = options.residual;
  args.residual_stride = out_stride;
  args.activation = options.activation;
  kernels.gemm(args);
}

void Scratch::norm(const Norm& norm, bool unbiased, Strided x, std::size_t rows, float* out, std::size_t out_stride) {
  kernels.layer_norm(
      {x.values, x.stride, norm.weight.data(), norm.bias.data(), rows, norm.weight.size(), unbiased, out, out_stride});
}

}  // namespace mime_fast
