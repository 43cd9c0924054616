#include "bindings/dev/parts.h"

PYBIND11_MODULE(_native_dev, module) {
  module.doc() = "Parts of mime_fast._native that only tests and benchmarks call; no wheel has it.";
  mime_fast::bind_random(module);
  mime_fast::bind_search(module);
  mime_fast::bind_benchmark(module);
  mime_fast::bind_beam_step(module);
  mime_fast::bind_screen(module);
  mime_fast::bind_draw(module);
  mime_fast::bind_product(module);
}
