// The vocabulary screened in int8: approximate logits, each with a proven bound of how far float32's may be from it.
// docs/screening.md has the bound and its proof; the names are the ones used there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mime_fast/kernels.h"

namespace mime_fast {

constexpr std::size_t kScreenAxes = 4;       // directions that are taken out of weights and rows before quantising
constexpr std::size_t kErrorTerms = 4;       // of a bound: coefficients of a word times those of a row
constexpr std::size_t kScreenEntries = 512;  // words that one row's list has room for

// W [N, K] as A v + r, and r in int8; with the float32 rows that survivors are computed from.
struct ScreenedMatrix {
  PackedMatrix coarse;               // r^ [N, K] in int8, with the bias, padded to kBlock (padding has a bias of -inf)
  AlignedVector<float> axes;         // v [kScreenAxes, K]
  AlignedVector<float> loadings;     // A [kScreenAxes, padded]
  AlignedVector<float> error;        // [padded, kErrorTerms]
  AlignedVector<float> block_error;  // [blocks, kErrorTerms], the largest of a block's words
  float largest_error[kErrorTerms];  // of all words
  float mean_error[kErrorTerms];
  std::size_t stride = 0;
  AlignedVector<float> rows;  // W [N, stride]
};

ScreenedMatrix screen(const float* weight, std::size_t outputs, std::size_t inputs, const float* bias, Int8Range range);

// A row of activations x, as v x and what is left of it: |error of a word's logit| <= sum of word and row terms.
struct ScreenedRow {
  float along[kScreenAxes];
  float error[kErrorTerms];  // |rest|, |rest - rest^|, |x|, 1
};

struct ScreenRowsArgs {
  const ScreenedMatrix* weight;
  const float* x;  // [M, K] with x_stride
  std::size_t x_stride;
  std::size_t rows;
  std::uint32_t* words;  // [M, row_words(kInt8, K)]
  float* scale;          // [M]
  ScreenedRow* out;      // [M]
  float* scratch;        // [2 K]
};

// Words of a row that may be among its best, with their approximate logits; `lost`: there was no room for
// all, and which are kept means nothing.
struct Survivors {
  Scored* kept = nullptr;  // [kScreenEntries]
  std::size_t count = 0;
  bool lost = false;
};

struct ScreenArgs {
  const ScreenedMatrix* weight;
  const std::uint64_t* allowed;  // [blocks], as in VocabArgs
  Rows x;
  const ScreenedRow* screened;  // [M]
  std::size_t rows;             // up to kMaxVocabRows
  TopTokens* lower;             // [M], the best lower bounds of words that may enter
  Survivors* survivors;         // [M], of all words
  PartialSum* partial;          // [M, chunks], of the approximate logits
  std::size_t chunks;
  std::size_t first_chunk;
  std::size_t last_chunk;
};

// Float32 logits of some words of one row, bit for bit those of vocab_topk.
struct ExactArgs {
  const ScreenedMatrix* weight;
  const float* x;        // [K]
  const Scored* tokens;  // [count], their logits are not read
  std::size_t count;
  float* logits;  // [count]
};

// The bound of a word or of a block for one row.
inline float error_of(const float* terms, const ScreenedRow& row) {
  float error = terms[3] * row.error[3];
  for (std::size_t term = 3; term-- > 0;) error += terms[term] * row.error[term];
  return error;
}

// Whether a word is kept beside a threshold that the k best words reach: first by its block's bound, as the pass does,
// then by its own. The former is monotone in the threshold, so that no order of the words changes what is kept.
inline bool is_near(const ScreenedMatrix& weight, const ScreenedRow& row, const Scored& word, float threshold) {
  const std::size_t block = static_cast<std::size_t>(word.token) / kBlock;
  return word.logit > threshold - error_of(weight.block_error.data() + block * kErrorTerms, row);
}
inline bool may_reach(const ScreenedMatrix& weight, const ScreenedRow& row, const Scored& word, float threshold) {
  const auto token = static_cast<std::size_t>(word.token);
  return word.logit + error_of(weight.error.data() + token * kErrorTerms, row) >= threshold;
}

}  // namespace mime_fast
