#pragma once

#include <pybind11/pybind11.h>

namespace mime_fast {

void bind_tower(pybind11::module_& module);

}  // namespace mime_fast
