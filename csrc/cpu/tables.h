// The kernel tables, one a translation unit; those of other processors' instruction sets are absent.
#pragma once

#include "mime_fast/kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define MIME_FAST_X86 1
#else
#define MIME_FAST_X86 0
#endif
#if defined(__aarch64__) && defined(__GNUC__)
#define MIME_FAST_ARM64 1
#else
#define MIME_FAST_ARM64 0
#endif

// Compile what follows, up to MIME_FAST_TARGET_END, for an instruction set that the rest of the program does not
// assume.
#if defined(__clang__)
#define MIME_FAST_PRAGMA(text) _Pragma(#text)
#define MIME_FAST_TARGET(features) \
  MIME_FAST_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define MIME_FAST_TARGET_END _Pragma("clang attribute pop")
#define MIME_FAST_DOTPROD "dotprod"
#else
#define MIME_FAST_PRAGMA(text) _Pragma(#text)
// The intrinsics' own headers start from an undefined register, which GCC 12 then warns about.
#define MIME_FAST_TARGET(features)                                                                  \
  _Pragma("GCC push_options") MIME_FAST_PRAGMA(GCC target(features)) _Pragma("GCC diagnostic push") \
      _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")                                   \
          _Pragma("GCC diagnostic ignored \"-Wuninitialized\"")
#define MIME_FAST_TARGET_END _Pragma("GCC diagnostic pop") _Pragma("GCC pop_options")
#define MIME_FAST_DOTPROD "arch=armv8.2-a+dotprod"
#endif

// For ARM GCC moves loads so far ahead of the products that it runs out of registers for the sums.
#if MIME_FAST_ARM64 && !defined(__clang__)
#define MIME_FAST_IN_ORDER __attribute__((optimize("no-schedule-insns")))
#else
#define MIME_FAST_IN_ORDER
#endif

namespace mime_fast {

extern const Kernels kGenericKernels;
#if MIME_FAST_X86
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx2VnniKernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512VnniKernels;
extern const Kernels kAvx512Bf16Kernels;
#endif
#if MIME_FAST_ARM64
extern const Kernels kNeonKernels;
extern const Kernels kNeonDotprodKernels;
#endif

}  // namespace mime_fast
