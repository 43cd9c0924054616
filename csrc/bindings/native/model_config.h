// What a model is made of, out of Python's values.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "engine/model.h"

namespace mime_fast {

constexpr std::int64_t kMaxSize = std::int64_t{1} << 20;  // of a dimension; keeps products of two inside 64 bits

// The keys of the config of one kind of model, and `model_type`: "mime", "multi-tr" or "moel".
ModelConfig model_config_of(const pybind11::dict& values, const pybind11::tuple& emotion_groups);

}  // namespace mime_fast
