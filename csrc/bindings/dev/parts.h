// The parts of _native_dev.
#pragma once

#include <pybind11/pybind11.h>

namespace mime_fast {

void bind_random(pybind11::module_& module);
void bind_search(pybind11::module_& module);
void bind_benchmark(pybind11::module_& module);
void bind_beam_step(pybind11::module_& module);
void bind_screen(pybind11::module_& module);
void bind_draw(pybind11::module_& module);
void bind_product(pybind11::module_& module);

}  // namespace mime_fast
