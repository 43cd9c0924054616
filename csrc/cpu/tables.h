// What csrc/cpu/parts defines for each instruction set of this family of processors.
#pragma once

#include "body/target.h"
#include "mime_fast/kernels.h"

#define MIME_FAST_SET generic
#include "body/exports.h"
#undef MIME_FAST_SET
#if MIME_FAST_X86
#define MIME_FAST_SET avx2
#include "body/exports.h"
#undef MIME_FAST_SET
#define MIME_FAST_SET avx2_vnni
#include "body/exports.h"
#undef MIME_FAST_SET
#define MIME_FAST_SET avx512
#include "body/exports.h"
#undef MIME_FAST_SET
#define MIME_FAST_SET avx512_vnni
#include "body/exports.h"
#undef MIME_FAST_SET
#define MIME_FAST_SET avx512_bf16
#include "body/exports.h"
#undef MIME_FAST_SET
#elif MIME_FAST_ARM64
#define MIME_FAST_SET neon
#include "body/exports.h"
#undef MIME_FAST_SET
#define MIME_FAST_SET neon_dotprod
#include "body/exports.h"
#undef MIME_FAST_SET
#endif
