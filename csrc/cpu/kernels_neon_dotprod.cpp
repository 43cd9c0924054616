#include "body/includes.h"

#if MIME_FAST_ARM64
#define MIME_FAST_NATIVE_SDOT 1
#define MIME_FAST_VEC "body/vec_neon.h"

MIME_FAST_TARGET(MIME_FAST_DOTPROD)
#include "body/table.h"
MIME_FAST_TARGET_END

namespace mime_fast {
extern const Kernels kNeonDotprodKernels = make_kernels("neon_dotprod");
}
#endif
