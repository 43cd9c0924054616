// The extension _cuda: launches of csrc/cuda on arrays whose addresses Python gives.

#include <string>

#include "bindings/beam_step_args.h"
#include "mime_fast/beam_step_cuda.h"

namespace mime_fast {
namespace {

void check(cudaError_t error) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error));
  }
}

// Why no kernel of this extension can run on the current device; empty if they can.
std::string why_not() {
  cudaFuncAttributes attributes{};
  const cudaError_t error = beam_step_attributes(&attributes);
  if (error == cudaSuccess) return "";
  cudaGetLastError();  // not left behind for the next call
  return std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
}

}  // namespace
}  // namespace mime_fast

PYBIND11_MODULE(_cuda, module) {
  using namespace mime_fast;
  module.doc() = "The CUDA side of mime_fast: launchers on device pointers; knows no torch.";
  module.attr("architectures") = MIME_FAST_CUDA_ARCHITECTURES;
  module.def("why_not", &why_not, "Why the kernels cannot run on the current device; empty if they can.");
  py::class_<BeamArgs>(module, "BeamStep", py::module_local(),
                       "The beam step on arrays of the device, which the caller keeps alive.")
      .def(py::init(&beam_args), py::arg("sizes"), py::arg("addresses"))
      .def(
          "launch",
          [](const BeamArgs& args, std::int32_t slots, std::uintptr_t log_probs, std::uintptr_t ids,
             std::uintptr_t values, std::uintptr_t stream) {
            check(launch_beam_step(args.sizes, offer_of(log_probs, ids, values), args.state, slots,
                                   reinterpret_cast<cudaStream_t>(stream)));
          },
          py::arg("slots"), py::arg("log_probs"), py::arg("ids"), py::arg("values"), py::arg("stream"),
          "One step of the first slots on candidates [N, k]; the arrays by their addresses.");
}
