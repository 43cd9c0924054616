// Attention, LayerNorm and other work on single rows. Compiled after each header of sets/.
#ifdef MIME_FAST_SET
#include "body/includes.h"

MIME_FAST_BEGIN
#include "body/attention.h"
#include "body/exact_logits.h"
#include "body/peak.h"
#include "body/pointwise.h"
#include "body/prepare.h"
MIME_FAST_END
#endif
