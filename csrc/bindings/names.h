// Instruction sets and precisions by the names that Python gives them.
#pragma once

#include <string>

#include "mime_fast/kernels.h"

namespace mime_fast {

// "auto": the best of this machine; a ValueError says why one cannot run.
Isa checked_isa(const std::string& name);

// A ValueError names the precisions that there are.
Precision checked_precision(const std::string& name);

}  // namespace mime_fast
