// NEON with the dot product: int8.
#include "body/target.h"

#if MIME_FAST_ARM64
#include <arm_neon.h>

#define MIME_FAST_SET neon_dotprod
#define MIME_FAST_ISA Isa::kNeonDotprod
#define MIME_FAST_VEC "body/vec_neon.h"
#define MIME_FAST_NATIVE_SDOT 1
#define MIME_FAST_BEGIN MIME_FAST_TARGET(MIME_FAST_DOTPROD)
#define MIME_FAST_END MIME_FAST_TARGET_END
#endif
