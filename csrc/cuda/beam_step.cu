#include "mime_fast/beam_step_core.h"
#include "mime_fast/beam_step_cuda.h"

namespace mime_fast {
namespace {

constexpr int kThreads = 128;

struct BlockTeam {
  __device__ std::int32_t rank() const { return static_cast<std::int32_t>(threadIdx.x); }
  __device__ std::int32_t size() const { return static_cast<std::int32_t>(blockDim.x); }
  __device__ void sync() const { __syncthreads(); }
  __device__ void add(std::int32_t* to, std::int32_t value) const { atomicAdd(to, value); }
};

__global__ void __launch_bounds__(kThreads) beam_step(BeamSizes sizes, BeamOffer offer, BeamState state) {
  advance_slot(sizes, offer, state, static_cast<std::int32_t>(blockIdx.x), BlockTeam{});
}

}  // namespace

cudaError_t launch_beam_step(const BeamSizes& sizes, const BeamOffer& offer, const BeamState& state, std::int32_t slots,
                             cudaStream_t stream) {
  if (slots == 0) return cudaSuccess;
  beam_step<<<static_cast<unsigned>(slots), kThreads, 0, stream>>>(sizes, offer, state);
  return cudaGetLastError();
}

cudaError_t beam_step_attributes(cudaFuncAttributes* attributes) {
  return cudaFuncGetAttributes(attributes, beam_step);
}

}  // namespace mime_fast
