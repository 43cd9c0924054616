// Plain C++, for every processor.
#include "body/target.h"

#define MIME_FAST_SET generic
#define MIME_FAST_ISA Isa::kGeneric
#define MIME_FAST_VEC "body/vec_generic.h"
#define MIME_FAST_BEGIN
#define MIME_FAST_END
