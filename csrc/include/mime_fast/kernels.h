// The CPU kernels: one table of functions for each instruction set, chosen once.
//
// In every kernel each output is a sum in one fixed order that depends only on sizes of the model and of its own
// dialogue, so that results do not depend on which rows are computed together.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mime_fast/matrix.h"

namespace mime_fast {

// Of those that a machine has the last one is its best.
enum class Isa { kGeneric, kAvx2, kAvx2Vnni, kAvx512, kAvx512Vnni, kAvx512Bf16, kNeon, kNeonDotprod };
constexpr int kIsaCount = 8;

// By whether it has 8-bit dot products.
constexpr Int8Range int8_range_of(Isa isa) {
  return isa == Isa::kAvx2Vnni || isa == Isa::kAvx512Vnni || isa == Isa::kAvx512Bf16 || isa == Isa::kNeonDotprod
             ? Int8Range::kFull
             : Int8Range::kNarrow;
}

enum class Activation { kNone, kRelu, kSigmoid };

// out [M, N] = act(x W^T + bias) + residual; columns beyond N are not written.
struct GemmArgs {
  const PackedMatrix* weight;
  Rows x;
  std::size_t rows;
  float* out;
  std::size_t out_stride;
  const float* residual = nullptr;  // [M, N] with residual_stride; may be `out`
  std::size_t residual_stride = 0;
  Activation activation = Activation::kNone;
};

// A token and its logit.
struct Scored {
  float logit;
  std::int32_t token;
};

// Larger logits first, equal ones by the lower token.
inline bool ranks_before(const Scored& a, const Scored& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// The best tokens of one row. Up to kSortedK of them are kept in order; more in a heap of `capacity` that is cut back
// to k.
struct TopTokens {
  float threshold = 0;  // what is not above it does not enter
  std::size_t k = 0;
  std::size_t count = 0;
  std::size_t capacity = 0;
  Scored* kept = nullptr;
  const std::int32_t* banned = nullptr;  // ascending
  std::size_t num_banned = 0;
};

constexpr std::size_t kBlock = 64;  // tokens of one word of `allowed`
constexpr std::size_t kSortedK = 32;
// Entries that `kept` must have room for.
constexpr std::size_t top_capacity(std::size_t k) { return k <= kSortedK ? k : 2 * k + kBlock; }

// Enter a token whose logit is above the threshold, after all lower tokens.
void enter(TopTokens& top, Scored scored);
// Cut back to the k best. With kSortedK or less there is nothing to do.
void prune(TopTokens& top);

constexpr std::size_t kChunkBlocks = 16;    // of one partial log-sum-exp
constexpr std::size_t kMaxVocabRows = 384;  // rows of one call

// A part of a row's log-sum-exp: log(sum) + shift.
struct PartialSum {
  float shift;
  float sum;
};

// Projection to the vocabulary with what is needed of the logits, which are never written unless asked for.
struct VocabArgs {
  const PackedMatrix* weight;    // of pack_vocabulary, padded to a multiple of kBlock
  const std::uint64_t* allowed;  // [blocks], a bit a token: those that may enter
  Rows x;
  std::size_t rows;             // up to kMaxVocabRows
  TopTokens* top;               // [M]
  const std::int32_t* targets;  // [M] tokens whose logit is wanted, -1: none; or null
  float* target_logits;         // [M]
  PartialSum* partial;          // [M, chunks]
  std::size_t chunks;           // of the whole vocabulary
  std::size_t first_chunk;      // the part to compute
  std::size_t last_chunk;
  float* logits;  // [M, padded], or null
};

constexpr std::size_t kAttentionRows = 4;  // computed together

// Attention of rows that share keys and values. Scores are masked with -1e18 where real is 0.
struct AttentionArgs {
  const float* query;  // [M, H, D] with query_stride
  std::size_t query_stride;
  const float* keys;         // [H, D, length_padded]
  const float* values;       // [H, length, D]
  const std::uint8_t* real;  // [length]
  std::size_t length;
  std::size_t length_padded;  // multiple of kLanes
  std::size_t rows;
  std::size_t heads;
  std::size_t depth;  // D
  float scale;
  float* out;  // [M, H, D] with out_stride
  std::size_t out_stride;
  float* scratch;  // [kAttentionRows, length_padded]
};

// Attention of one row over a chain of positions, each with its keys and values in one place.
struct ChainArgs {
  const float* query;         // [H, D]
  const float* const* nodes;  // [length]: keys [H, D], then values [H, D]
  const std::uint8_t* real;   // [length]
  std::size_t length;
  std::size_t heads;
  std::size_t depth;
  float scale;
  float* out;      // [H, D]
  float* scratch;  // [length rounded up to kLanes]
};

struct NormArgs {
  const float* x;
  std::size_t x_stride;
  const float* weight;
  const float* bias;
  std::size_t rows;
  std::size_t size;
  bool unbiased;  // (x - mean) / (s + 1e-6), s with n - 1 in the divisor
  float* out;
  std::size_t out_stride;
};

struct ScreenRowsArgs;
struct ScreenArgs;
struct ExactArgs;

struct Kernels {
  const char* isa;
  Int8Range int8_range;  // of matrices that its kernels multiply
  // 32-bit words of a row of activations in the kernel's precision; how they lie is the instruction set's own affair.
  std::size_t (*row_words)(Precision, std::size_t inputs);
  // Activations x [M, K] (row stride x_stride) in the weight's precision: words [M, row_words(K)] and, for int8, scale
  // [M] and, where it has an axis, along [M].
  void (*prepare)(const PackedMatrix& weight, const float* x, std::size_t x_stride, std::size_t rows,
                  std::uint32_t* words, float* scale, float* along);
  void (*gemm)(const GemmArgs&);
  void (*vocab_topk)(const VocabArgs&);
  // The screened projection, whose arguments are in mime_fast/screen.h.
  void (*screen_rows)(const ScreenRowsArgs&);
  void (*screen)(const ScreenArgs&);
  void (*exact_logits)(const ExactArgs&);
  void (*attention)(const AttentionArgs&);
  void (*chain_attention)(const ChainArgs&);
  void (*layer_norm)(const NormArgs&);
  // both [M, 2C] *= gate [M, 2C]; share [M] = mean(gate[:C]) / (mean(gate[:C]) + mean(gate[C:])); 0.5 for 0 / 0.
  void (*apply_gate)(const float* gate, float* both, std::size_t rows, std::size_t size, float* share);
  // out [count] = exp((x - shift) * factor), within 2e-5 of it (relative); 0 or denormal below exp(-87).
  void (*exponentials)(const float* x, std::size_t count, float shift, float factor, float* out);
  // Operations of the precision's inner loop a second without memory: the ceiling to measure against.
  double (*peak)(Precision, double seconds);
};

// The best instruction set of this machine.
Isa best_isa();
// Why an instruction set cannot run here; empty if it can.
const char* why_not(Isa isa);
const char* isa_name(Isa isa);
const Kernels& kernels(Isa isa);

}  // namespace mime_fast
