// Families of processors, and how a part of a file is compiled for an instruction set. A header of sets/ defines
//   MIME_FAST_SET                    the namespace of its kernels
//   MIME_FAST_ISA                    its Isa
//   MIME_FAST_VEC                    the header of its vectors, and switches that this reads
//   MIME_FAST_BEGIN, MIME_FAST_END   what is written around the bodies
#pragma once

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
