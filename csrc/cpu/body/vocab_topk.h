// The projection to the vocabulary, fused with bias, bans, the best tokens and the log-sum-exp.
#pragma once

#include "body/partial_sum.h"
#include "body/tile.h"

namespace mime_fast::MIME_FAST_SET {

template <typename Dot>
constexpr int exp_degree() {
  return std::is_same_v<Dot, DotFloat32> ? 5 : std::is_same_v<Dot, DotBfloat16> ? 4 : 3;
}

// Enter the logits at the set bits of `above`, the first of them being token `first`'s.
__attribute__((noinline)) inline void enter_all(TopTokens& top, const float* logits, std::uint64_t above,
                                                std::size_t first) {
  for (; above != 0; above &= above - 1) {
    const int i = __builtin_ctzll(above);
    if (logits[i] > top.threshold) {
      enter(top, {logits[i], static_cast<std::int32_t>(first + static_cast<std::size_t>(i))});
    }
  }
}

// What logits [kVectors] of one row are used for. How many come together shows in the sums' last digits, so they are
// Dot::kLook whatever the tile.
template <int kDegree, int kVectors>
inline __attribute__((always_inline)) void use_logits(const VocabArgs& args, RowState& state, std::size_t row,
                                                      std::size_t output, const Vec::F (&logits)[kVectors]) {
  Vec::F best = logits[0];
#pragma GCC unroll 8
  for (int v = 1; v < kVectors; ++v) best = Vec::max(best, logits[v]);
  const bool enters = Vec::bits_above(best, Vec::set1(state.threshold)) != 0;
  const bool raises = Vec::bits_above(best, Vec::set1(state.limit)) != 0;
  const std::uint32_t place = static_cast<std::uint32_t>(state.target) - static_cast<std::uint32_t>(output);
  const bool wanted = place < kVectors * Vec::kWidth;
  if (__builtin_expect(enters | raises | wanted | (args.logits != nullptr), 0)) {
    alignas(64) float values[kVectors * Vec::kWidth];
    for (int v = 0; v < kVectors; ++v) Vec::store(values + v * Vec::kWidth, logits[v]);
    if (raises) raise_shift(state, Vec::max_lanes(best));
    if (enters) {
      std::uint64_t above = 0;
      for (int v = 0; v < kVectors; ++v) {
        above |= std::uint64_t{Vec::bits_above(logits[v], Vec::set1(state.threshold))} << v * Vec::kWidth;
      }
      enter_all(args.top[row], values, above & args.allowed[output / kBlock] >> output % kBlock, output);
      state.threshold = args.top[row].threshold;
    }
    if (wanted) args.target_logits[row] = values[place];
    if (args.logits != nullptr) std::memcpy(args.logits + row * args.weight->padded + output, values, sizeof values);
  }
  Vec::F sum = Vec::load(state.sums);
  const Vec::F shift = Vec::set1(state.shift);
  const Vec::F scaled_shift = Vec::set1(-kLog2E * state.shift);
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    // In one step where the logits themselves are approximate; a float32 logit keeps its last digits in two.
    const Vec::F t = kDegree == 5 ? Vec::mul(Vec::sub(logits[v], shift), Vec::set1(kLog2E))
                                  : Vec::fma(logits[v], Vec::set1(kLog2E), scaled_shift);
    sum = Vec::add(sum, exp2<kDegree>(t));
  }
  Vec::store(state.sums, sum);
}

// Uses the sums [tiles, rows, kVectors] of tiles that lie side by side and together have kTogether vectors. One
// function for tiles of all heights, as it takes long to compile.
template <typename Dot, int kVectors, int kTogether>
__attribute__((noinline)) void use_sums(const VocabArgs& args, RowState* states, std::size_t row, std::size_t rows,
                                        std::size_t output, const typename Dot::Acc* sums) {
  constexpr int kLook = Dot::kLook;
  for (std::size_t r = 0; r < rows; ++r) {
    for (int first = 0; first < kTogether; first += kLook) {
      const std::size_t at = output + static_cast<std::size_t>(first) * Vec::kWidth;
      Vec::F logits[kLook];
#pragma GCC unroll 8
      for (int v = 0; v < kLook; ++v) {
        const std::size_t tile = static_cast<std::size_t>((first + v) / kVectors);
        const typename Dot::Acc sum = sums[(tile * rows + r) * kVectors + (first + v) % kVectors];
        const std::size_t word = at + static_cast<std::size_t>(v) * Vec::kWidth;
        logits[v] = finish_sum<Dot>(sum, *args.weight, word, args.x, row + r);
        if constexpr (std::is_same_v<Dot, DotInt8>) {
          logits[v] =
              Vec::fma(Vec::load(args.weight->loading.data() + word), Vec::set1(args.x.along[row + r]), logits[v]);
        }
      }
      use_logits<exp_degree<Dot>(), kLook>(args, states[row + r], row + r, at, logits);
    }
  }
}

template <typename Dot, int kVectors>
struct VocabTile {
  template <int kRows>
  struct Of {
    static void run(std::size_t row, const VocabArgs& args, RowState* states, const Fetch& fetch,
                    const std::size_t& output) {
      constexpr int kTogether = std::max(kVectors, Dot::kLook);
      typename Dot::Acc sums[kTogether / kVectors][kRows][kVectors];
      for (int tile = 0; tile < kTogether / kVectors; ++tile) {
        const std::size_t first = output + static_cast<std::size_t>(tile * kVectors) * Vec::kWidth;
        const auto product =
            fetch.by_call_from(row) ? multiply<Dot, kRows, kVectors, true> : multiply<Dot, kRows, kVectors, false>;
        product(*args.weight, args.x, row, first, sums[tile][0], fetch);
      }
      use_sums<Dot, kVectors, kTogether>(args, states, row, kRows, output, sums[0][0]);
    }
  };
};

template <typename Dot, int kMostRows, int kVectors>
void vocab_topk_with(const VocabArgs& args) {
  constexpr std::size_t kStep = std::max(kVectors, Dot::kLook) * Vec::kWidth;
  static_assert(kBlock % kStep == 0);
  RowState states[kMaxVocabRows];
  RowState* const first_state = states;
  const Fetch fetch(args.rows, kMostRows, kStep);
  for (std::size_t row = 0; row < args.rows; ++row) {
    states[row].threshold = args.top[row].threshold;
    states[row].target = args.targets == nullptr ? -1 : args.targets[row];
  }
  for (std::size_t chunk = args.first_chunk; chunk < args.last_chunk; ++chunk) {
    for (std::size_t row = 0; row < args.rows; ++row) {
      states[row].shift = kLowestShift;
      states[row].limit = -std::numeric_limits<float>::infinity();
      Vec::store(states[row].sums, Vec::zero());
    }
    const std::size_t last = std::min(args.weight->padded, (chunk + 1) * kChunkBlocks * kBlock);
    for (std::size_t output = chunk * kChunkBlocks * kBlock; output < last; output += kStep) {
      for_tiles<kMostRows, VocabTile<Dot, kVectors>::template Of>(args.rows, args, first_state, fetch, output);
    }
    for (std::size_t row = 0; row < args.rows; ++row) {
      args.partial[row * args.chunks + chunk] =
          partial_sum(states[row].shift, states[row].limit, Vec::sum_lanes(Vec::load(states[row].sums)));
    }
  }
}

template <typename Dot>
void vocab_topk_in(const VocabArgs& args) {
  if (args.rows == 1) return vocab_topk_with<Dot, 1, Dot::kVectorsOf1>(args);
  if (args.rows <= 3) return vocab_topk_with<Dot, 3, Dot::kVectorsOf3>(args);
  vocab_topk_with<Dot, Dot::kRows, Dot::kVectors>(args);
}

// As gemm_by.
template <typename Dot>
inline void vocab_topk_by(const VocabArgs& args) {
  if constexpr (Dot::kIsa == MIME_FAST_ISA) {
    vocab_topk_in<Dot>(args);
  } else {
    kernels(Dot::kIsa).vocab_topk(args);
  }
}

void vocab_topk(const VocabArgs& args) {
  switch (args.weight->precision) {
    case Precision::kFloat32:
      return vocab_topk_by<DotFloat32>(args);
    case Precision::kBfloat16:
      return vocab_topk_by<DotBfloat16>(args);
    case Precision::kInt8:
      return vocab_topk_by<DotInt8>(args);
  }
}

}  // namespace mime_fast::MIME_FAST_SET
