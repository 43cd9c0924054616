#include "bindings/native/tower.h"

#include "bindings/checks.h"
#include "bindings/convert.h"
#include "bindings/names.h"
#include "bindings/native/released.h"
#include "engine/tower.h"

namespace mime_fast {
namespace {

PackedMatrix packed_layer(const std::string& number, const py::object& weight, const py::object& bias) {
  const auto rows = checked_array<float>("weight" + number, weight, 2, "[outputs, inputs]");
  const auto offsets = checked_array<float>("bias" + number, bias, 1, "[outputs]");
  const auto outputs = static_cast<std::size_t>(rows.shape(0)), inputs = static_cast<std::size_t>(rows.shape(1));
  if (outputs == 0 || inputs == 0) throw py::value_error("weight" + number + ": must not be empty");
  check_size("bias" + number, offsets, outputs);
  return pack(Precision::kFloat32, rows.data(), outputs, inputs, inputs, offsets.data());
}

class PyTower {
 public:
  PyTower(const py::object& weight1, const py::object& bias1, const py::object& weight2, const py::object& bias2,
          const std::string& isa) {
    tower_.kernels = &kernels(checked_isa(isa));
    tower_.first = packed_layer("1", weight1, bias1);
    tower_.second = packed_layer("2", weight2, bias2);
    if (tower_.second.inputs != tower_.first.outputs) {
      throw py::value_error("weight2: must have an input for each output of weight1");
    }
  }

  py::array operator()(const py::object& vectors, const py::object& stop, std::size_t threads) const {
    const auto x = checked_array<float>("vectors", vectors, 2, "[n, K]");
    if (static_cast<std::size_t>(x.shape(1)) != tower_.first.inputs) {
      throw py::value_error("vectors: must have " + std::to_string(tower_.first.inputs) + " columns");
    }
    const auto count = static_cast<std::size_t>(x.shape(0));
    Array<float> found({count, tower_.second.outputs});
    float* out = found.mutable_data();
    Interruption interruption(stop);
    run_released(interruption, threads, RunOptions().batch_size,
                 [&](const RunOptions& run) { run_tower(tower_, run, x.data(), count, out); });
    return std::move(found);
  }

 private:
  Tower tower_;
};

}  // namespace

void bind_tower(py::module_& module) {
  py::class_<PyTower>(module, "Tower", "A reranker's tower with packed weights; calls do not change it.")
      .def(py::init<const py::object&, const py::object&, const py::object&, const py::object&, const std::string&>(),
           py::arg("weight1"), py::arg("bias1"), py::arg("weight2"), py::arg("bias2"), py::kw_only(), py::arg("isa"))
      .def("__call__", &PyTower::operator(), py::arg("vectors"), py::kw_only(), py::arg("stop"), py::arg("threads"));
}

}  // namespace mime_fast
