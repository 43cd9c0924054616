#define MIME_FAST_VEC "body/vec_generic.h"

#include "body/includes.h"
#include "body/table.h"

namespace mime_fast {
extern const Kernels kGenericKernels = make_kernels("generic");
}
