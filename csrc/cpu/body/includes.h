// What the bodies need, included before a target is set: functions of the standard library must not be compiled for it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "mime_fast/kernels.h"
#include "mime_fast/screen.h"
