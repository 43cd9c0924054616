// What crosses the border to C++ is checked here: type, shape, layout, range. Arrays are taken as they are, never as a
// converted copy: a wrong dtype is the caller's mistake and is named.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

namespace mime_fast {

namespace py = pybind11;

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

inline std::string type_name(const py::handle& value) {
  return py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>();
}

// A contiguous array of `dimensions` axes; `shape` is for the message: "[N]".
template <typename T>
Array<T> checked_array(const std::string& name, const py::handle& value, py::ssize_t dimensions, const char* shape) {
  if (!py::isinstance<py::array>(value)) {
    throw py::type_error(name + ": must be a numpy array, not " + type_name(value));
  }
  const auto array = py::reinterpret_borrow<py::array>(value);
  if (!py::isinstance<py::array_t<T>>(array)) {
    throw py::type_error(name + ": must be of dtype " + py::str(py::dtype::of<T>()).cast<std::string>() + ", not " +
                         py::str(array.dtype()).cast<std::string>());
  }
  if (array.ndim() != dimensions || (array.flags() & py::array::c_style) == 0) {
    throw py::value_error(name + ": must be a contiguous array of shape " + shape);
  }
  if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) {
    throw py::value_error(name + ": must be an aligned array");
  }
  return py::reinterpret_borrow<Array<T>>(array);
}

template <typename T>
void check_size(const std::string& name, const Array<T>& array, std::size_t size) {
  if (static_cast<std::size_t>(array.size()) != size) {
    throw py::value_error(name + " has " + std::to_string(array.size()) + " items; must have " + std::to_string(size));
  }
}

template <typename T>
void check_items(const std::string& name, const Array<T>& array, T low, T high) {
  const T* items = array.data();
  for (py::ssize_t i = 0; i < array.size(); ++i) {
    if (items[i] < low || items[i] > high) {
      throw py::value_error(name + "[" + std::to_string(i) + "]=" + std::to_string(items[i]) + ": must be from " +
                            std::to_string(low) + " to " + std::to_string(high));
    }
  }
}

inline std::int64_t checked_range(const std::string& name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) {
    throw py::value_error(name + "=" + std::to_string(value) + ": must be an integer from " + std::to_string(low) +
                          " to " + std::to_string(high));
  }
  return value;
}

// Offsets [N + 1] from 0 to `end` with items of at least `shortest` and at most `longest`; returns N.
inline std::size_t check_offsets(const std::string& name, const Array<std::int64_t>& offsets, std::size_t end,
                                 std::int64_t shortest, std::int64_t longest) {
  const std::int64_t* items = offsets.data();
  if (offsets.size() < 1 || items[0] != 0 || items[offsets.size() - 1] != static_cast<std::int64_t>(end)) {
    throw py::value_error(name + ": must be offsets from 0 to " + std::to_string(end) + ", the number of items");
  }
  for (py::ssize_t i = 0; i + 1 < offsets.size(); ++i) {
    if (items[i] < 0 || items[i + 1] < 0 || items[i + 1] > static_cast<std::int64_t>(end)) {
      throw py::value_error(name + "[" + std::to_string(i) + "] lies outside of the items");
    }
    checked_range("length " + std::to_string(i) + " of " + name, items[i + 1] - items[i], shortest, longest);
  }
  return static_cast<std::size_t>(offsets.size() - 1);
}

}  // namespace mime_fast
