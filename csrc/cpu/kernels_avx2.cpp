#include "body/includes.h"

#if MIME_FAST_X86
#define MIME_FAST_NATIVE_VNNI 0
#define MIME_FAST_VEC "body/vec_avx2.h"

MIME_FAST_TARGET("avx2,fma")
#include "body/table.h"
MIME_FAST_TARGET_END

namespace mime_fast {
extern const Kernels kAvx2Kernels = make_kernels("avx2");
}
#endif
