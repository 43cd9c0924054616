// AVX-512 F, BW, VL and DQ.
#include "body/target.h"

#if MIME_FAST_X86
#include <immintrin.h>

#define MIME_FAST_SET avx512
#define MIME_FAST_ISA Isa::kAvx512
#define MIME_FAST_VEC "body/vec_avx512.h"
#define MIME_FAST_NATIVE_VNNI 0
#define MIME_FAST_NATIVE_BF16 0
#define MIME_FAST_BEGIN MIME_FAST_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#define MIME_FAST_END MIME_FAST_TARGET_END
#endif
