// NEON, which every aarch64 has.
#include "body/target.h"

#if MIME_FAST_ARM64
#include <arm_neon.h>

#define MIME_FAST_SET neon
#define MIME_FAST_ISA Isa::kNeon
#define MIME_FAST_VEC "body/vec_neon.h"
#define MIME_FAST_NATIVE_SDOT 0
#define MIME_FAST_BEGIN
#define MIME_FAST_END
#endif
