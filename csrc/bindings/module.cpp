#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "mime_fast/philox.h"

namespace py = pybind11;

namespace {

using Ids = py::array_t<std::uint64_t, py::array::c_style>;

// The argument as it is, never a converted copy: a wrong dtype or layout is the caller's mistake and is named.
Ids checked_ids(const char* name, const py::object& value) {
  if (!py::isinstance<py::array>(value)) {
    throw py::type_error(std::string(name) + ": a numpy array is allowed, not " +
                         py::str(py::type::of(value).attr("__name__")).cast<std::string>());
  }
  const auto array = py::reinterpret_borrow<py::array>(value);
  if (!py::isinstance<py::array_t<std::uint64_t>>(array)) {
    throw py::type_error(std::string(name) + ": dtype uint64 is allowed, not " +
                         py::str(array.dtype()).cast<std::string>());
  }
  if (array.ndim() != 1 || (array.size() > 1 && array.strides(0) != array.itemsize())) {
    throw py::value_error(std::string(name) + ": a contiguous array of shape [N] is allowed");
  }
  return py::reinterpret_borrow<Ids>(array);
}

std::uint64_t checked_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) {
    throw py::value_error(std::string(name) + "=" + std::to_string(value) + ": an integer from " + std::to_string(low) +
                          " to " + std::to_string(high) + " is allowed");
  }
  return static_cast<std::uint64_t>(value);
}

template <typename Real>
py::array fill(const Ids& seeds, const Ids& request_ids, mime_fast::PhiloxDraw draw, std::size_t size) {
  const auto count = static_cast<std::size_t>(seeds.size());
  py::array_t<Real> normals({count, size});
  const std::uint64_t* seed = seeds.data();
  const std::uint64_t* request_id = request_ids.data();
  Real* out = normals.mutable_data();
  {
    const py::gil_scoped_release release;
    for (std::size_t row = 0; row < count; ++row) {
      draw.seed = seed[row];
      draw.request_id = request_id[row];
      mime_fast::fill_normals(draw, size, out + row * size);
    }
  }
  return normals;
}

py::array standard_normal(const py::object& seeds, const py::object& request_ids, std::int64_t purpose,
                          std::int64_t size, std::int64_t step, std::int64_t sequence, const std::string& dtype) {
  const Ids checked_seeds = checked_ids("seeds", seeds);
  const Ids checked_requests = checked_ids("request_ids", request_ids);
  if (checked_seeds.size() != checked_requests.size()) {
    throw py::value_error("lengths differ: seeds " + std::to_string(checked_seeds.size()) + ", request_ids " +
                          std::to_string(checked_requests.size()));
  }
  mime_fast::PhiloxDraw draw{};
  draw.purpose = static_cast<std::uint32_t>(checked_range("purpose", purpose, 0, (1 << mime_fast::kPurposeBits) - 1));
  draw.step = static_cast<std::uint32_t>(checked_range("step", step, 0, (1 << mime_fast::kStepBits) - 1));
  draw.sequence =
      static_cast<std::uint32_t>(checked_range("sequence", sequence, 0, (1 << mime_fast::kSequenceBits) - 1));
  const std::size_t numbers = checked_range("size", size, 1, mime_fast::kMaxNumbers);
  if (dtype == "float64") return fill<double>(checked_seeds, checked_requests, draw, numbers);
  if (dtype == "float32") return fill<float>(checked_seeds, checked_requests, draw, numbers);
  throw py::value_error("dtype='" + dtype + "': 'float32' or 'float64' is allowed");
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ side of mime_fast; checks its arguments, releases the GIL, knows no torch.";
  module.def("standard_normal", &standard_normal, py::arg("seeds"), py::arg("request_ids"), py::arg("purpose"),
             py::arg("size"), py::kw_only(), py::arg("step") = 0, py::arg("sequence") = 0, py::arg("dtype") = "float64",
             "Standard normals [N, size] for N seeds and request ids (uint64); docs/random.md states the scheme.");
}
