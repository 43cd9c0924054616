// Runs of the engine without the GIL, which a stop byte or a signal ends.
#pragma once

#include <chrono>
#include <memory>

#include "bindings/checks.h"
#include "bindings/native/model_config.h"
#include "engine/run.h"

namespace mime_fast {

// Whether a run is to end: its stop byte is set, or a signal's handler raised (Ctrl-C), which only the caller's thread
// sees.
class Interruption {
 public:
  explicit Interruption(const py::object& stop) {
    if (stop.is_none()) return;
    array_ = checked_array<std::uint8_t>("stop", stop, 1, "[1]");
    check_size("stop", array_, 1);
    byte_ = array_.data();
  }
  bool operator()(bool on_caller) {
    if (byte_ != nullptr && __atomic_load_n(byte_, __ATOMIC_RELAXED) != 0) return true;
    if (!on_caller) return false;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return false;
    last_ = now;
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() == 0) return false;
    raised_ = std::make_unique<py::error_already_set>();
    return true;
  }
  // With the GIL: what a handler raised comes before the run's own error.
  void rethrow() {
    if (raised_ != nullptr) throw py::error_already_set(*raised_);
  }

 private:
  Array<std::uint8_t> array_;
  const std::uint8_t* byte_ = nullptr;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::unique_ptr<py::error_already_set> raised_;
};

// Run `work` without the GIL.
template <typename Work>
void run_released(Interruption& interruption, std::size_t threads, std::size_t batch_size, Work work) {
  RunOptions run;
  run.threads = static_cast<std::size_t>(checked_range("threads", static_cast<std::int64_t>(threads), 1, 4096));
  run.batch_size =
      static_cast<std::size_t>(checked_range("batch_size", static_cast<std::int64_t>(batch_size), 1, kMaxSize));
  run.should_stop = [&](bool on_caller) { return interruption(on_caller); };
  try {
    const py::gil_scoped_release release;
    work(run);
  } catch (const ModelError&) {
    interruption.rethrow();
    throw;
  }
}

}  // namespace mime_fast
