// Instruction sets and precisions by the names that Python gives them.
#pragma once

#include <string>

#include "mime_fast/kernels.h"

namespace mime_fast {

// "auto": the best of this machine; std::invalid_argument, a ValueError in Python, says why one cannot run.
Isa checked_isa(const std::string& name);

// std::invalid_argument names the precisions that there are.
Precision checked_precision(const std::string& name);

}  // namespace mime_fast
