// AVX-512 with VNNI: int8.
#include "body/target.h"

#if MIME_FAST_X86
#include <immintrin.h>

#define MIME_FAST_SET avx512_vnni
#define MIME_FAST_ISA Isa::kAvx512Vnni
#define MIME_FAST_VEC "body/vec_avx512.h"
#define MIME_FAST_NATIVE_VNNI 1
#define MIME_FAST_NATIVE_BF16 0
#define MIME_FAST_BEGIN MIME_FAST_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")
#define MIME_FAST_END MIME_FAST_TARGET_END
#endif
