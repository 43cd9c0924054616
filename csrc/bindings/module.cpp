#include "bindings/bindings.h"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ side of mime_fast; checks its arguments, releases the GIL, knows no torch.";
  mime_fast::bind_random(module);
  mime_fast::bind_model(module);
  mime_fast::bind_search(module);
  mime_fast::bind_benchmark(module);
  mime_fast::bind_beam_step(module);
}
