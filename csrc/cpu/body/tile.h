// The register tile: sums of a few rows by a few vectors of outputs, word by word along the inputs.
#pragma once

#include "body/math.h"

namespace mime_fast::MIME_FAST_SET {

constexpr int kPanelVectors = static_cast<int>(kPanelWidth) / Vec::kWidth;

// Every index of `acc` is a constant, so that it lies in registers: GCC keeps an array that a loop indexes in memory,
// and stores each sum after each product.
template <typename Dot, int kPart, int kRow, int kVectors, int... kVector>
inline __attribute__((always_inline)) void add_row(typename Dot::Acc* acc, const typename Dot::Left& left,
                                                   const typename Dot::Right* right,
                                                   std::integer_sequence<int, kVector...>) {
  ((acc[kRow * kVectors + kVector] = Dot::mad(acc[kRow * kVectors + kVector], left, right[kVector])), ...);
}

template <typename Dot, int kPart, int kVectors, int... kVector, int... kRow>
inline __attribute__((always_inline)) void add_step(typename Dot::Acc* acc, const std::uint32_t* a,
                                                    std::size_t a_stride, const std::uint32_t* b,
                                                    std::size_t panel_words,
                                                    std::integer_sequence<int, kVector...> vectors,
                                                    std::integer_sequence<int, kRow...>) {
  const typename Dot::Right right[] = {Dot::template right<kPart>(b + (kVector / kPanelVectors) * panel_words +
                                                                  (kVector % kPanelVectors) * Vec::kWidth)...};
  (add_row<Dot, kPart, kRow, kVectors>(acc, Dot::template left<kPart>(a + kRow * a_stride), right, vectors), ...);
}

template <typename Dot, int kVectors, int... kPart, typename Vectors, typename RowsOf>
inline __attribute__((always_inline)) void add_parts(typename Dot::Acc* acc, const std::uint32_t* a,
                                                     std::size_t a_stride, const std::uint32_t* b,
                                                     std::size_t panel_words, std::integer_sequence<int, kPart...>,
                                                     Vectors vectors, RowsOf rows) {
  (add_step<Dot, kPart, kVectors>(acc, a, a_stride, b, panel_words, vectors, rows), ...);
}

// Where the sum of a row with one vector of outputs starts, and what it becomes: y = x W^T + bias.
template <typename Dot>
inline __attribute__((always_inline)) typename Dot::Acc start_sum(const PackedMatrix& weight, std::size_t output) {
  if constexpr (std::is_same_v<Dot, DotInt8>) {
    return Dot::start(weight.correction.data() + output);
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

// What is fetched while a matrix passes that is read from memory: the panels that come next, into the second-level
// cache, each time a share of them, as memory takes longer to bring a panel than a few rows take to pass it.
struct Fetch {
  std::size_t panels_ahead = 0;
  std::size_t rows = 1;    // of a call of `multiply`
  std::size_t shares = 1;  // of the panels: so many of the first calls fetch one each

  Fetch() = default;
  Fetch(std::size_t all_rows, std::size_t rows_of_call, std::size_t outputs_of_call)
      : panels_ahead(std::max<std::size_t>(outputs_of_call / kPanelWidth, 1)), rows(rows_of_call) {
    if (all_rows > 2 * rows) shares = all_rows > 4 * rows ? 4 : 2;
  }
  bool by_call_from(std::size_t row) const { return row / rows < shares; }
};

template <int kPanels, int... kLine>
inline __attribute__((always_inline)) void fetch_lines(const std::uint32_t* from, std::size_t panel_words,
                                                       std::size_t step, std::integer_sequence<int, kLine...>) {
  constexpr int kSecondLevel = 2;
  (__builtin_prefetch(from + kLine % kPanels * panel_words + kLine / kPanels * step, 0, kSecondLevel), ...);
}

template <typename Dot, int kRows, bool kStreams, int... kIndex>
inline __attribute__((always_inline)) void multiply_in(const PackedMatrix& weight, const Rows& x, std::size_t row,
                                                       std::size_t output, typename Dot::Acc* sums, const Fetch& fetch,
                                                       std::integer_sequence<int, kIndex...>) {
  constexpr int kVectors = static_cast<int>(sizeof...(kIndex)) / kRows;
  constexpr int kPanels = std::max(kVectors / kPanelVectors, 1);
  constexpr std::make_integer_sequence<int, kVectors> vectors{};
  constexpr std::make_integer_sequence<int, kRows> rows{};
  constexpr std::make_integer_sequence<int, Dot::kParts> parts{};
  const std::size_t words = weight.words, panel_words = weight.panel_words, stride = x.stride;
  const std::uint32_t* a = x.words + row * stride;
  const std::uint32_t* b = weight.panels.data() + output / kPanelWidth * panel_words + output % kPanelWidth;
  const std::size_t step = kPanelWidth / fetch.shares;
  const std::uint32_t* from = b + fetch.panels_ahead * panel_words + row / fetch.rows * (panel_words / fetch.shares);
  typename Dot::Acc acc[] = {start_sum<Dot>(weight, output + (kIndex % kVectors) * Vec::kWidth)...};
  for (std::size_t word = 0; word < words; word += Dot::kWords) {  // rows and panels have zeros up to kWords
    if constexpr (kStreams) {
      fetch_lines<kPanels>(from, panel_words, step, std::make_integer_sequence<int, Dot::kWords * kPanels>{});
      from += Dot::kWords * step;
    }
    add_parts<Dot, kVectors>(acc, a, stride, b, panel_words, parts, vectors, rows);
    a += Dot::kWords * Dot::kLeftWords;
    b += Dot::kWords * kPanelWidth;
  }
  ((sums[kIndex] = acc[kIndex]), ...);
}

// sums [kRows, kVectors] of rows from `row` and outputs from `output` on, of as many rows at a time as there are
// registers for. A function of its own: tools/check_disassembly.py looks for stores in its loops.
template <typename Dot, int kRows, int kVectors, bool kStreams>
MIME_FAST_IN_ORDER __attribute__((noinline)) void multiply(const PackedMatrix& weight, const Rows& x, std::size_t row,
                                                           std::size_t output, typename Dot::Acc* sums,
                                                           const Fetch& fetch) {
  constexpr int kTile = std::min(kRows, Dot::kTileRows), kRest = kRows % kTile;
  constexpr std::make_integer_sequence<int, kTile * kVectors> tile{};
  multiply_in<Dot, kTile, kStreams>(weight, x, row, output, sums, fetch, tile);
  std::size_t done = kTile;
#pragma GCC unroll 1
  for (; done + kTile <= kRows; done += kTile) {
    multiply_in<Dot, kTile, false>(weight, x, row + done, output, sums + done * kVectors, fetch, tile);
  }
  if constexpr (kRest > 0) {
    constexpr std::make_integer_sequence<int, kRest * kVectors> rest{};
    multiply_in<Dot, kRest, false>(weight, x, row + done, output, sums + done * kVectors, fetch, rest);
  }
}

template <int kMostRows, template <int> class Tile, typename... Args>
inline void run_tile(std::size_t count, std::size_t row, Args&... args) {
  if constexpr (kMostRows > 1) {
    if (count < kMostRows) return run_tile<kMostRows - 1, Tile>(count, row, args...);
  }
  Tile<kMostRows>::run(row, args...);
}

// Calls tile<kRows>(first row) for all rows, split as evenly as tiles of at most kMostRows allow.
template <int kMostRows, template <int> class Tile, typename... Args>
inline void for_tiles(std::size_t rows, Args&... args) {
  const std::size_t tiles = (rows + kMostRows - 1) / kMostRows;
  for (std::size_t tile = 0, row = 0; tile < tiles; ++tile) {
    const std::size_t count = (rows - row + (tiles - tile) - 1) / (tiles - tile);
    run_tile<kMostRows, Tile>(count, row, args...);
    row += count;
  }
}

}  // namespace mime_fast::MIME_FAST_SET
