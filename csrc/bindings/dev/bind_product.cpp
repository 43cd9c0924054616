// The matrix product on its own, and the direction that int8 takes out of a vocabulary: for tests.

#include <algorithm>
#include <vector>

#include "bindings/checks.h"
#include "bindings/dev/parts.h"
#include "bindings/names.h"
#include "mime_fast/axes.h"

namespace mime_fast {
namespace {

Array<float> product(const std::string& precision, const py::object& weight, const py::object& x,
                     const std::string& isa) {
  const auto w = checked_array<float>("weight", weight, 2, "[N, K]");
  const auto rows = checked_array<float>("x", x, 2, "[M, K]");
  if (w.shape(1) != rows.shape(1)) throw py::value_error("weight and x: must have the same K");
  const Kernels& table = kernels(checked_isa(isa));
  const auto outputs = static_cast<std::size_t>(w.shape(0)), inputs = static_cast<std::size_t>(w.shape(1)),
             count = static_cast<std::size_t>(rows.shape(0));
  const PackedMatrix packed =
      pack({checked_precision(precision), table.int8_range}, w.data(), outputs, inputs, inputs, nullptr);
  const std::size_t stride = table.row_words(packed.precision, inputs);
  AlignedVector<std::uint32_t> words(count * stride);
  std::vector<float> scales(count);
  table.prepare(packed, rows.data(), inputs, count, words.data(), scales.data(), nullptr);
  Array<float> out({count, outputs});
  GemmArgs args{};
  args.weight = &packed;
  args.x = {words.data(), stride, scales.data(), nullptr};
  args.rows = count;
  args.out = out.mutable_data();
  args.out_stride = outputs;
  table.gemm(args);
  return out;
}

Array<float> leading_axis(const py::object& weight) {
  const auto w = checked_array<float>("weight", weight, 2, "[N, K]");
  const std::vector<double> found =
      leading_axes(w.data(), static_cast<std::size_t>(w.shape(0)), static_cast<std::size_t>(w.shape(1)), 1);
  Array<float> axis(w.shape(1));
  std::copy(found.begin(), found.end(), axis.mutable_data());
  return axis;
}

}  // namespace

void bind_product(py::module_& module) {
  module.def("product", &product, py::arg("precision"), py::arg("weight"), py::arg("x"), py::arg("isa") = "auto",
             "x W^T [M, N] in a precision.");
  module.def("leading_axis", &leading_axis, py::arg("weight"),
             "About the leading right singular vector of W [N, K], which int8 takes out of a vocabulary.");
}

}  // namespace mime_fast
