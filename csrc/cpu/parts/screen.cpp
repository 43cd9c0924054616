// The screened projection. Compiled after each header of sets/.
#ifdef MIME_FAST_SET
#include "body/includes.h"

MIME_FAST_BEGIN
#include "body/screen.h"
MIME_FAST_END
#endif
