// Matrix products: a register tile of a few rows by up to 64 outputs, summed word by word along the inputs.
#pragma once

#include "body/math.h"

namespace mime_fast {
namespace {

// acc [kRows][kVectors] of a tile; the words of one panel are `b_stride` apart.
template <typename Dot, int kRows, int kVectors>
inline __attribute__((always_inline)) void multiply(const std::uint32_t* a, std::size_t a_stride,
                                                    const std::uint32_t* b, std::size_t b_stride, std::size_t words,
                                                    typename Dot::Acc (&acc)[kRows][kVectors]) {
  for (std::size_t word = 0; word < words; ++word, b += b_stride) {
    typename Dot::Word right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = Dot::load(b + v * Vec::kWidth);
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      const typename Dot::Word left = Dot::broadcast(a + row * a_stride + word);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[row][v] = Dot::mad(acc[row][v], left, right[v]);
    }
  }
}

// Where the sum of one vector of outputs starts, and what it becomes: y = x W^T + bias.
template <typename Dot>
inline __attribute__((always_inline)) typename Dot::Acc start_sum(const PackedMatrix& weight, std::size_t output) {
  if constexpr (std::is_same_v<Dot, DotInt8>) {
    return Dot::load_start(weight.correction.data() + output);
  } else {
    return Vec::load(weight.bias.data() + output);
  }
}

template <typename Dot>
inline __attribute__((always_inline)) Vec::F finish_sum(typename Dot::Acc acc, const PackedMatrix& weight,
                                                        std::size_t output, const Rows& x, std::size_t row) {
  if constexpr (std::is_same_v<Dot, DotInt8>) {
    const Vec::F scaled = Vec::mul(Dot::to_float(acc), Vec::set1(x.scale[row]));
    return Vec::fma(scaled, Vec::load(weight.scale.data() + output), Vec::load(weight.bias.data() + output));
  } else {
    return acc;
  }
}

inline Vec::F activate(Vec::F y, Activation activation) {
  if (activation == Activation::kRelu) return Vec::max(Vec::zero(), y);  // a NaN stays
  if (activation == Activation::kSigmoid) {
    const Vec::F one = Vec::set1(1.0f);
    return Vec::div(one, Vec::add(one, exp(Vec::sub(Vec::zero(), y))));
  }
  return y;
}

template <typename Dot, int kRows, int kVectors>
void gemm_tile(const GemmArgs& args, std::size_t row, const std::uint32_t* panel, std::size_t panel_width,
               std::size_t output) {
  typename Dot::Acc acc[kRows][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const typename Dot::Acc start = start_sum<Dot>(*args.weight, output + v * Vec::kWidth);
    for (int r = 0; r < kRows; ++r) acc[r][v] = start;
  }
  multiply<Dot, kRows, kVectors>(args.x.words + row * args.x.stride, args.x.stride, panel, panel_width,
                                 args.weight->words, acc);
  for (int r = 0; r < kRows; ++r) {
    float* out = args.out + (row + r) * args.out_stride;
    const float* residual = args.residual == nullptr ? nullptr : args.residual + (row + r) * args.residual_stride;
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t first = output + v * Vec::kWidth;
      if (first >= args.weight->outputs) break;
      const std::size_t count = args.weight->outputs - first;
      Vec::F y = activate(finish_sum<Dot>(acc[r][v], *args.weight, first, args.x, row + r), args.activation);
      if (count >= Vec::kWidth) {
        if (residual != nullptr) y = Vec::add(y, Vec::load(residual + first));
        Vec::store(out + first, y);
      } else {
        if (residual != nullptr) y = Vec::add(y, Vec::load_part(residual + first, count));
        Vec::store_part(out + first, y, count);
      }
    }
  }
}

// Calls tile<kRows>(first row) for all rows, split as evenly as tiles of at most kTileRows allow.
template <template <int> class Tile, typename... Args>
inline void for_tiles(std::size_t rows, Args&... args) {
  const std::size_t tiles = (rows + Vec::kTileRows - 1) / Vec::kTileRows;
  for (std::size_t tile = 0, row = 0; tile < tiles; ++tile) {
    const std::size_t count = (rows - row + (tiles - tile) - 1) / (tiles - tile);
    switch (count) {
      case 1:
        Tile<1>::run(row, args...);
        break;
      case 2:
        Tile<2>::run(row, args...);
        break;
      case 3:
        Tile<3>::run(row, args...);
        break;
      case 4:
        Tile<4>::run(row, args...);
        break;
      case 5:
        if constexpr (Vec::kTileRows >= 5) Tile<5>::run(row, args...);
        break;
      default:
        if constexpr (Vec::kTileRows >= 6) Tile<6>::run(row, args...);
        break;
    }
    row += count;
  }
}

template <typename Dot, int kVectors>
struct GemmTile {
  template <int kRows>
  struct Of {
    static void run(std::size_t row, const GemmArgs& args, const std::uint32_t* panel, std::size_t width,
                    std::size_t output) {
      gemm_tile<Dot, kRows, kVectors>(args, row, panel, width, output);
    }
  };
};

template <typename Dot>
void gemm_in(const GemmArgs& args) {
  constexpr std::size_t kStep = Vec::kTileVectors * Vec::kWidth;
  for (std::size_t panel = 0; panel < args.weight->padded; panel += kPanel) {
    const std::size_t width = std::min(kPanel, args.weight->padded - panel);
    const std::uint32_t* words = args.weight->panels.data() + panel * args.weight->words;
    for (std::size_t column = 0; column < width; column += kStep) {
      const std::size_t vectors = std::min(kStep, width - column) / Vec::kWidth;
      const std::uint32_t* const first = words + column;
      const std::size_t output = panel + column;
      if constexpr (Vec::kTileVectors == 4) {
        if (vectors == 4) for_tiles<GemmTile<Dot, 4>::template Of>(args.rows, args, first, width, output);
        if (vectors == 3) for_tiles<GemmTile<Dot, 3>::template Of>(args.rows, args, first, width, output);
        if (vectors == 1) for_tiles<GemmTile<Dot, 1>::template Of>(args.rows, args, first, width, output);
      }
      if (vectors == 2) for_tiles<GemmTile<Dot, 2>::template Of>(args.rows, args, first, width, output);
    }
  }
}

void gemm(const GemmArgs& args) {
  switch (args.weight->precision) {
    case Precision::kFloat32:
      return gemm_in<DotFloat32>(args);
    case Precision::kBfloat16:
      return gemm_in<DotBfloat16>(args);
    case Precision::kInt8:
      return gemm_in<DotInt8>(args);
  }
}

}  // namespace
}  // namespace mime_fast
