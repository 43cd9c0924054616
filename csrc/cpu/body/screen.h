// The screened projection to the vocabulary (mime_fast/screen.h): an int8 pass with bounds.
#pragma once

#include "body/partial_sum.h"
#include "body/quantize.h"
#include "body/tile.h"
#include "mime_fast/screen.h"

namespace mime_fast::MIME_FAST_SET {

constexpr float kHalfUlp = 0x1p-24f;
constexpr float kLeastNormal = 1.1754943508222875e-38f;

// An upper bound of the norm whose `inputs` squares have been added up in floating point.
inline float norm_above(float squares, std::size_t inputs) {
  const auto count = static_cast<float>(inputs + 32);
  return std::sqrt(squares + count * kLeastNormal) * (1.0f + count * kHalfUlp);
}

// What a rounded row is multiplied by so that nothing of its rounding lies along the row itself: y y^ = y y. A share
// that did would be common to the likely words, for they lie along y, too, and so would not cancel in their
// log-sum-exp.
inline float without_share(const float* y, const std::int8_t* rounded, std::size_t inputs, float scale) {
  float along = 0, squares = 0;
  for (std::size_t i = 0; i < inputs; ++i) {
    along += y[i] * static_cast<float>(rounded[i]);
    squares += y[i] * y[i];
  }
  const float factor = squares / (along * scale);
  return factor > 0.5f && factor < 2.0f ? factor : 1.0f;  // it is near 1 but where numbers are too small or too large
}

inline void screen_row(const ScreenRowsArgs& args, const float* x, std::uint32_t* words, float* scale,
                       ScreenedRow& out) {
  const ScreenedMatrix& weight = *args.weight;
  const std::size_t inputs = weight.coarse.inputs;
  Vec::F along[kScreenAxes];
  Vec::F squares = Vec::zero();
  for (Vec::F& each : along) each = Vec::zero();
  for (std::size_t i = 0; i < inputs; i += Vec::kWidth) {
    const Vec::F value = load_some(x + i, inputs - i);
    squares = Vec::fma(value, value, squares);
    for (std::size_t j = 0; j < kScreenAxes; ++j) {
      along[j] = Vec::fma(value, load_some(weight.axes.data() + j * inputs + i, inputs - i), along[j]);
    }
  }
  for (std::size_t j = 0; j < kScreenAxes; ++j) out.along[j] = Vec::sum_lanes(along[j]);
  const float norm = norm_above(Vec::sum_lanes(squares), inputs);
  squares = Vec::zero();
  for (std::size_t i = 0; i < inputs; i += Vec::kWidth) {
    Vec::F rest = load_some(x + i, inputs - i);
    for (std::size_t j = 0; j < kScreenAxes; ++j) {
      rest = Vec::fma(Vec::set1(-out.along[j]), load_some(weight.axes.data() + j * inputs + i, inputs - i), rest);
    }
    squares = Vec::fma(rest, rest, squares);
    store_some(args.scratch + i, rest, inputs - i);
  }
  const float rest_norm = norm_above(Vec::sum_lanes(squares), inputs);
  *scale = prepare_int8(args.scratch, inputs, words);
  auto* bytes = reinterpret_cast<std::int8_t*>(args.scratch + inputs);
  quantize_int8(args.scratch, inputs, *scale, 0, reinterpret_cast<std::uint8_t*>(bytes));
  *scale *= without_share(args.scratch, bytes, inputs, *scale);
  float lost = 0;
  for (std::size_t i = 0; i < inputs; ++i) {
    const float part = args.scratch[i] - static_cast<float>(bytes[i]) * *scale;
    args.scratch[i] = part * part;
  }
  squares = Vec::zero();
  for (std::size_t i = 0; i < inputs; i += Vec::kWidth) {
    squares = Vec::add(squares, load_some(args.scratch + i, inputs - i));
  }
  lost = norm_above(Vec::sum_lanes(squares), inputs);
  const float rounded = 0x1p-18f * norm;  // of the rest itself
  out.error[0] = rest_norm + rounded;
  out.error[1] = lost + rounded;
  out.error[2] = norm;
  out.error[3] = 1.0f;
}

void screen_rows(const ScreenRowsArgs& args) {
  for (std::size_t row = 0; row < args.rows; ++row) {
    screen_row(args, args.x + row * args.x_stride,
               args.words + row * row_words(Precision::kInt8, args.weight->coarse.inputs), args.scale + row,
               args.out[row]);
  }
}

struct ScreenState : RowState {
  float error[kChunkBlocks];  // bounds of the chunk's blocks
};

// Make room in a full list. One that stays nearly full is given up, or the next words would soon ask for this again.
__attribute__((noinline)) inline void shrink(const ScreenArgs& args, std::size_t row, float threshold) {
  Survivors& survivors = args.survivors[row];
  std::size_t kept = 0;
  for (std::size_t i = 0; i < survivors.count; ++i) {
    if (is_near(*args.weight, args.screened[row], survivors.kept[i], threshold)) {
      survivors.kept[kept++] = survivors.kept[i];
    }
  }
  survivors.count = kept;
  survivors.lost = kept > kScreenEntries * 7 / 8;
}

// Words of a tile that are near the threshold, by their block's bound `error`.
__attribute__((noinline)) inline void consider(const ScreenArgs& args, std::size_t row, const float* logits,
                                               std::uint64_t above, std::size_t first, float error) {
  const std::uint64_t allowed = args.allowed[first / kBlock] >> first % kBlock;
  TopTokens& lower = args.lower[row];
  Survivors& survivors = args.survivors[row];
  for (; above != 0; above &= above - 1) {
    const int i = __builtin_ctzll(above);
    if (!(logits[i] > lower.threshold - error)) continue;
    const auto token = static_cast<std::int32_t>(first + static_cast<std::size_t>(i));
    if (survivors.count == kScreenEntries && !survivors.lost) shrink(args, row, lower.threshold);
    if (!survivors.lost) survivors.kept[survivors.count++] = {logits[i], token};
    const float least = logits[i] - error;
    if ((allowed >> i & 1) != 0 && least > lower.threshold) enter(lower, {least, token});
  }
}

// What the axes give a vector of words.
inline __attribute__((always_inline)) Vec::F add_axes(Vec::F logits, const ScreenArgs& args, std::size_t word,
                                                      std::size_t row) {
  const float* loadings = args.weight->loadings.data() + word;
#pragma GCC unroll 4
  for (std::size_t j = 0; j < kScreenAxes; ++j) {
    logits =
        Vec::fma(Vec::load(loadings + j * args.weight->coarse.padded), Vec::set1(args.screened[row].along[j]), logits);
  }
  return logits;
}

template <int kVectors>
inline __attribute__((always_inline)) void use_screened(const ScreenArgs& args, ScreenState& state, std::size_t row,
                                                        std::size_t output, const Vec::F (&logits)[kVectors]) {
  Vec::F best = logits[0];
#pragma GCC unroll 4
  for (int v = 1; v < kVectors; ++v) best = Vec::max(best, logits[v]);
  const float error = state.error[output / kBlock % kChunkBlocks];
  const float cut = state.threshold - error;
  const bool enters = Vec::bits_above(best, Vec::set1(cut)) != 0;
  const bool raises = Vec::bits_above(best, Vec::set1(state.limit)) != 0;
  if (__builtin_expect(enters | raises, 0)) {
    alignas(64) float values[kVectors * Vec::kWidth];
    for (int v = 0; v < kVectors; ++v) Vec::store(values + v * Vec::kWidth, logits[v]);
    if (raises) raise_shift(state, Vec::max_lanes(best));
    if (enters) {
      std::uint64_t above = 0;
      for (int v = 0; v < kVectors; ++v) {
        above |= std::uint64_t{Vec::bits_above(logits[v], Vec::set1(cut))} << v * Vec::kWidth;
      }
      consider(args, row, values, above, output, error);
      state.threshold = args.lower[row].threshold;
    }
  }
  Vec::F sum = Vec::load(state.sums);
  const Vec::F scaled_shift = Vec::set1(-kLog2E * state.shift);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    sum = Vec::add(sum, exp2<4>(Vec::fma(logits[v], Vec::set1(kLog2E), scaled_shift)));
  }
  Vec::store(state.sums, sum);
}

// As use_sums.
template <int kVectors, int kTogether>
__attribute__((noinline)) void screen_sums(const ScreenArgs& args, ScreenState* states, std::size_t row,
                                           std::size_t rows, std::size_t output, const DotInt8::Acc* sums) {
  constexpr int kLook = DotInt8::kLook;
  for (std::size_t r = 0; r < rows; ++r) {
    for (int first = 0; first < kTogether; first += kLook) {
      const std::size_t at = output + static_cast<std::size_t>(first) * Vec::kWidth;
      Vec::F logits[kLook];
#pragma GCC unroll 8
      for (int v = 0; v < kLook; ++v) {
        const std::size_t word = at + static_cast<std::size_t>(v) * Vec::kWidth;
        const std::size_t tile = static_cast<std::size_t>((first + v) / kVectors);
        const DotInt8::Acc sum = sums[(tile * rows + r) * kVectors + (first + v) % kVectors];
        logits[v] = add_axes(finish_sum<DotInt8>(sum, args.weight->coarse, word, args.x, row + r), args, word, row + r);
      }
      use_screened<kLook>(args, states[row + r], row + r, at, logits);
    }
  }
}

template <int kVectors>
struct ScreenTile {
  template <int kRows>
  struct Of {
    static void run(std::size_t row, const ScreenArgs& args, ScreenState* states, const Fetch& fetch,
                    const std::size_t& output) {
      using Dot = DotInt8;
      constexpr int kTogether = std::max(kVectors, Dot::kLook);
      const PackedMatrix& coarse = args.weight->coarse;
      typename Dot::Acc sums[kTogether / kVectors][kRows][kVectors];
      for (int tile = 0; tile < kTogether / kVectors; ++tile) {
        const std::size_t first = output + static_cast<std::size_t>(tile * kVectors) * Vec::kWidth;
        const auto product =
            fetch.by_call_from(row) ? multiply<Dot, kRows, kVectors, true> : multiply<Dot, kRows, kVectors, false>;
        product(coarse, args.x, row, first, sums[tile][0], fetch);
      }
      screen_sums<kVectors, kTogether>(args, states, row, kRows, output, sums[0][0]);
    }
  };
};

inline void begin_chunk(const ScreenArgs& args, std::size_t row, std::size_t first_block, std::size_t last_block,
                        ScreenState& state) {
  state.shift = kLowestShift;
  state.limit = -std::numeric_limits<float>::infinity();
  Vec::store(state.sums, Vec::zero());
  for (std::size_t block = first_block; block < last_block; ++block) {
    state.error[block % kChunkBlocks] =
        error_of(args.weight->block_error.data() + block * kErrorTerms, args.screened[row]);
  }
}

template <int kMostRows, int kVectors>
void screen_with(const ScreenArgs& args) {
  constexpr std::size_t kStep = std::max(kVectors, DotInt8::kLook) * Vec::kWidth;
  static_assert(kBlock % kStep == 0);
  const std::size_t blocks = args.weight->coarse.padded / kBlock;
  ScreenState states[kMaxVocabRows];
  ScreenState* const first_state = states;
  const Fetch fetch(args.rows, kMostRows, kStep);
  for (std::size_t row = 0; row < args.rows; ++row) states[row].threshold = args.lower[row].threshold;
  for (std::size_t chunk = args.first_chunk; chunk < args.last_chunk; ++chunk) {
    const std::size_t first = chunk * kChunkBlocks, last = std::min(blocks, first + kChunkBlocks);
    for (std::size_t row = 0; row < args.rows; ++row) begin_chunk(args, row, first, last, states[row]);
    for (std::size_t output = first * kBlock; output < last * kBlock; output += kStep) {
      for_tiles<kMostRows, ScreenTile<kVectors>::template Of>(args.rows, args, first_state, fetch, output);
    }
    for (std::size_t row = 0; row < args.rows; ++row) {
      const std::size_t place = row * args.chunks + chunk;
      args.partial[place] =
          partial_sum(states[row].shift, states[row].limit, Vec::sum_lanes(Vec::load(states[row].sums)));
    }
  }
}

void screen_in(const ScreenArgs& args) {
  using Dot = DotInt8;
  if (args.rows == 1) return screen_with<1, Dot::kVectorsOf1>(args);
  if (args.rows <= 3) return screen_with<3, Dot::kVectorsOf3>(args);
  screen_with<Dot::kRows, Dot::kVectors>(args);
}

// As gemm_by.
template <typename Dot>
inline void screen_by(const ScreenArgs& args) {
  if constexpr (Dot::kIsa != MIME_FAST_ISA) {
    kernels(Dot::kIsa).screen(args);
  } else {
    screen_in(args);
  }
}

void screen(const ScreenArgs& args) { screen_by<DotInt8>(args); }

}  // namespace mime_fast::MIME_FAST_SET
