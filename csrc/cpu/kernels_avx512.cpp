#include "body/includes.h"

#if MIME_FAST_X86
#define MIME_FAST_NATIVE_VNNI 0
#define MIME_FAST_NATIVE_BF16 0
#define MIME_FAST_VEC "body/vec_avx512.h"

MIME_FAST_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#include "body/table.h"
MIME_FAST_TARGET_END

namespace mime_fast {
extern const Kernels kAvx512Kernels = make_kernels("avx512");
}
#endif
