// The table of one instruction set, made from the bodies. Included last.
#pragma once

#include "body/attention.h"
#include "body/gemm.h"
#include "body/math.h"
#include "body/peak.h"
#include "body/pointwise.h"
#include "body/prepare.h"
#include "body/screen.h"
#include "body/vocab_topk.h"

namespace mime_fast {
namespace {

constexpr Kernels make_kernels(const char* isa) {
  return {isa,          row_words, prepare,         gemm,       vocab_topk, screen_rows,  screen_vocabulary,
          exact_logits, attention, chain_attention, layer_norm, apply_gate, exponentials, peak};
}

}  // namespace
}  // namespace mime_fast
