// The launcher of the beam step on a GPU.
#pragma once

#include <cuda_runtime_api.h>

#include "mime_fast/beam_step.h"

namespace mime_fast {

// One step of the slots 0 to slots - 1; all pointers are of the device.
cudaError_t launch_beam_step(const BeamSizes& sizes, const BeamOffer& offer, const BeamState& state, std::int32_t slots,
                             cudaStream_t stream);

// What the kernel needs; fails where it cannot run on the current device.
cudaError_t beam_step_attributes(cudaFuncAttributes* attributes);

}  // namespace mime_fast
