#include "bindings/names.h"

#include <stdexcept>

namespace mime_fast {

Isa checked_isa(const std::string& name) {
  if (name == "auto") return best_isa();
  for (int i = 0; i < kIsaCount; ++i) {
    const auto isa = static_cast<Isa>(i);
    if (name != isa_name(isa)) continue;
    if (*why_not(isa) != '\0') throw std::invalid_argument("isa='" + name + "' cannot run: " + why_not(isa));
    return isa;
  }
  throw std::invalid_argument("isa='" + name + "' is not known");
}

Precision checked_precision(const std::string& name) {
  if (name == "float32") return Precision::kFloat32;
  if (name == "bfloat16") return Precision::kBfloat16;
  if (name == "int8") return Precision::kInt8;
  throw std::invalid_argument("precision='" + name + "': must be 'float32', 'bfloat16' or 'int8'");
}

}  // namespace mime_fast
