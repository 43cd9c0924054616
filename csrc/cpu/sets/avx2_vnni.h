// AVX2 with AVX-VNNI: int8.
#include "body/target.h"

#if MIME_FAST_X86
#include <immintrin.h>

#define MIME_FAST_SET avx2_vnni
#define MIME_FAST_ISA Isa::kAvx2Vnni
#define MIME_FAST_VEC "body/vec_avx2.h"
#define MIME_FAST_NATIVE_VNNI 1
#define MIME_FAST_BEGIN MIME_FAST_TARGET("avx2,fma,avxvnni")
#define MIME_FAST_END MIME_FAST_TARGET_END
#endif
