#include "bindings/checks.h"
#include "bindings/dev/parts.h"
#include "mime_fast/philox.h"

namespace mime_fast {
namespace {

using Ids = Array<std::uint64_t>;

template <typename Real>
py::array fill(const Ids& seeds, const Ids& request_ids, PhiloxDraw draw, std::size_t size) {
  const auto count = static_cast<std::size_t>(seeds.size());
  Array<Real> normals({count, size});
  const std::uint64_t* seed = seeds.data();
  const std::uint64_t* request_id = request_ids.data();
  Real* out = normals.mutable_data();
  {
    const py::gil_scoped_release release;
    for (std::size_t row = 0; row < count; ++row) {
      draw.seed = seed[row];
      draw.request_id = request_id[row];
      fill_normals(draw, size, out + row * size);
    }
  }
  return std::move(normals);
}

py::array standard_normal(const py::object& seeds, const py::object& request_ids, std::int64_t purpose,
                          std::int64_t size, std::int64_t step, std::int64_t sequence, const std::string& dtype) {
  const Ids checked_seeds = checked_array<std::uint64_t>("seeds", seeds, 1, "[N]");
  const Ids checked_requests = checked_array<std::uint64_t>("request_ids", request_ids, 1, "[N]");
  if (checked_seeds.size() != checked_requests.size()) {
    throw py::value_error("lengths differ: seeds " + std::to_string(checked_seeds.size()) + ", request_ids " +
                          std::to_string(checked_requests.size()));
  }
  PhiloxDraw draw{};
  draw.purpose = static_cast<std::uint32_t>(checked_range("purpose", purpose, 0, (1 << kPurposeBits) - 1));
  draw.step = static_cast<std::uint32_t>(checked_range("step", step, 0, (1 << kStepBits) - 1));
  draw.sequence = static_cast<std::uint32_t>(checked_range("sequence", sequence, 0, (1 << kSequenceBits) - 1));
  const auto numbers = static_cast<std::size_t>(checked_range("size", size, 1, kMaxNumbers));
  if (dtype == "float64") return fill<double>(checked_seeds, checked_requests, draw, numbers);
  if (dtype == "float32") return fill<float>(checked_seeds, checked_requests, draw, numbers);
  throw py::value_error("dtype='" + dtype + "': must be 'float32' or 'float64'");
}

}  // namespace

void bind_random(py::module_& module) {
  module.def("standard_normal", &standard_normal, py::arg("seeds"), py::arg("request_ids"), py::arg("purpose"),
             py::arg("size"), py::kw_only(), py::arg("step") = 0, py::arg("sequence") = 0, py::arg("dtype") = "float64",
             "Standard normals [N, size] for N seeds and request ids (uint64); docs/random.md states the scheme.");
}

}  // namespace mime_fast
