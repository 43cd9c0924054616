#include "body/includes.h"

#if MIME_FAST_ARM64
#define MIME_FAST_NATIVE_SDOT 0
#define MIME_FAST_VEC "body/vec_neon.h"

#include "body/table.h"

namespace mime_fast {
extern const Kernels kNeonKernels = make_kernels("neon");
}
#endif
