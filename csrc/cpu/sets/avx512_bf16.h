// AVX-512 with VNNI and BF16: bfloat16.
#include "body/target.h"

#if MIME_FAST_X86
#include <immintrin.h>

#define MIME_FAST_SET avx512_bf16
#define MIME_FAST_ISA Isa::kAvx512Bf16
#define MIME_FAST_VEC "body/vec_avx512.h"
#define MIME_FAST_NATIVE_VNNI 1
#define MIME_FAST_NATIVE_BF16 1
#define MIME_FAST_BEGIN MIME_FAST_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma")
#define MIME_FAST_END MIME_FAST_TARGET_END
#endif
