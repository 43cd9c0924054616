// The parts of the extension module.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "mime_fast/kernels.h"

namespace mime_fast {

// The instruction set of a name ("auto": the best of this machine); a ValueError says why one cannot run.
Isa checked_isa(const std::string& name);

void bind_random(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_search(pybind11::module_& module);
void bind_benchmark(pybind11::module_& module);
void bind_beam_step(pybind11::module_& module);

}  // namespace mime_fast
