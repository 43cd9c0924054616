// Matrix products, tile by tile: a few panels of outputs stay in the cache while all rows pass.
#pragma once

#include "body/tile.h"

namespace mime_fast::MIME_FAST_SET {

inline Vec::F activate(Vec::F y, Activation activation) {
  if (activation == Activation::kRelu) return Vec::max(Vec::zero(), y);  // a NaN stays
  if (activation == Activation::kSigmoid) {
    const Vec::F one = Vec::set1(1.0f);
    return Vec::div(one, Vec::add(one, exp(Vec::sub(Vec::zero(), y))));
  }
  return y;
}

// The outputs from `output` on of one row, from their sums [vectors]. Unrolled it takes longer to compile than the
// products.
template <typename Dot>
inline void store_outputs(const GemmArgs& args, std::size_t row, std::size_t output, const typename Dot::Acc* sums,
                          int vectors) {
  float* out = args.out + row * args.out_stride;
  const float* residual = args.residual == nullptr ? nullptr : args.residual + row * args.residual_stride;
#pragma GCC unroll 1
  for (int v = 0; v < vectors; ++v, output += Vec::kWidth) {
    if (output >= args.weight->outputs) break;
    const std::size_t left = args.weight->outputs - output;
    Vec::F y = activate(finish_sum<Dot>(sums[v], *args.weight, output, args.x, row), args.activation);
    if (residual != nullptr) y = Vec::add(y, load_some(residual + output, left));
    store_some(out + output, y, left);
  }
}

// Of several rows. One function for tiles of all heights, as it takes long to compile.
template <typename Dot, int kVectors>
__attribute__((noinline)) void store_tile(const GemmArgs& args, std::size_t row, std::size_t rows, std::size_t output,
                                          const typename Dot::Acc* sums) {
  if (args.activation != Activation::kNone || output + kVectors * Vec::kWidth > args.weight->outputs) {
    for (std::size_t r = 0; r < rows; ++r) store_outputs<Dot>(args, row + r, output, sums + r * kVectors, kVectors);
    return;
  }
  for (std::size_t r = row; r < row + rows; ++r, sums += kVectors) {
    float* out = args.out + r * args.out_stride + output;
    const float* residual = args.residual == nullptr ? nullptr : args.residual + r * args.residual_stride + output;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Vec::F y = finish_sum<Dot>(sums[v], *args.weight, output + v * Vec::kWidth, args.x, r);
      if (residual != nullptr) y = Vec::add(y, Vec::load(residual + v * Vec::kWidth));
      Vec::store(out + v * Vec::kWidth, y);
    }
  }
}

template <typename Dot, int kVectors>
struct GemmTile {
  template <int kRows>
  struct Of {
    static void run(std::size_t row, const GemmArgs& args, const std::size_t& output) {
      typename Dot::Acc sums[kRows * kVectors];
      multiply<Dot, kRows, kVectors, false>(*args.weight, args.x, row, output, sums, Fetch{});
      if constexpr (kRows == 1) return store_outputs<Dot>(args, row, output, sums, kVectors);
      store_tile<Dot, kVectors>(args, row, kRows, output, sums);
    }
  };
};

// Outputs from `output` on, kVectors at a time as long as there are as many; returns where it stopped.
template <typename Dot, int kMostRows, int kVectors>
inline std::size_t gemm_columns(const GemmArgs& args, std::size_t output) {
  constexpr std::size_t kStep = kVectors * Vec::kWidth;
  for (; output + kStep <= args.weight->padded; output += kStep) {
    for_tiles<kMostRows, GemmTile<Dot, kVectors>::template Of>(args.rows, args, output);
  }
  return output;
}

template <typename Dot>
void gemm_in(const GemmArgs& args) {
  std::size_t output = 0;
  if (args.rows == 1) {
    output = gemm_columns<Dot, 1, Dot::kVectorsOf1>(args, 0);
  } else if (args.rows <= 3) {
    output = gemm_columns<Dot, 3, Dot::kVectorsOf3>(args, 0);
  }
  output = gemm_columns<Dot, Dot::kRows, Dot::kVectors>(args, output);
  // Panels that are too few for a whole tile.
  if constexpr (Dot::kVectors > 3 * kPanelVectors) {
    output = gemm_columns<Dot, Dot::kRows, 3 * kPanelVectors>(args, output);
  }
  if constexpr (Dot::kVectors > 2 * kPanelVectors) {
    output = gemm_columns<Dot, Dot::kRows, 2 * kPanelVectors>(args, output);
  }
  if constexpr (Dot::kVectors > kPanelVectors) gemm_columns<Dot, Dot::kRows, kPanelVectors>(args, output);
}

// Where products are those of another instruction set, its kernel is called: one is compiled, not two alike.
template <typename Dot>
inline void gemm_by(const GemmArgs& args) {
  if constexpr (Dot::kIsa == MIME_FAST_ISA) {
    gemm_in<Dot>(args);
  } else {
    kernels(Dot::kIsa).gemm(args);
  }
}

void gemm(const GemmArgs& args) {
  switch (args.weight->precision) {
    case Precision::kFloat32:
      return gemm_by<DotFloat32>(args);
    case Precision::kBfloat16:
      return gemm_by<DotBfloat16>(args);
    case Precision::kInt8:
      return gemm_by<DotInt8>(args);
  }
}

}  // namespace mime_fast::MIME_FAST_SET
