// The beam step of the GPU, on the CPU.

#include "bindings/beam_step_args.h"
#include "bindings/checks.h"
#include "bindings/dev/parts.h"

namespace mime_fast {

void bind_beam_step(py::module_& module) {
  py::class_<BeamArgs>(module, "BeamStep", py::module_local(),
                       "The beam step on arrays of the CPU, which the caller keeps alive.")
      .def(py::init(&beam_args), py::arg("sizes"), py::arg("addresses"))
      .def(
          "run",
          [](const BeamArgs& args, std::int32_t slots, std::uintptr_t log_probs, std::uintptr_t ids,
             std::uintptr_t values, std::int32_t threads) {
            checked_range("threads", threads, 1, 1024);
            const py::gil_scoped_release release;
            run_beam_step(args.sizes, offer_of(log_probs, ids, values), args.state, slots, threads);
          },
          py::arg("slots"), py::arg("log_probs"), py::arg("ids"), py::arg("values"), py::arg("threads") = 1,
          "One step of the first slots on candidates [N, k]; the arrays by their addresses.");
}

}  // namespace mime_fast
