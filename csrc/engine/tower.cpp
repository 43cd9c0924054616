#include "engine/tower.h"

#include <algorithm>

#include "engine/queue.h"

namespace mime_fast {

void run_tower(const Tower& tower, const RunOptions& run, const float* x, std::size_t count, float* out) {
  const std::size_t inputs = tower.first.inputs, width = tower.second.outputs;
  Queue queue(run, count);
  queue.run([&](bool on_caller) {
    Scratch scratch(*tower.kernels);
    for (;;) {
      const auto taken = queue.take(queue.capacity());
      if (taken.empty()) return;
      queue.check(on_caller);
      float* hidden = scratch.hidden.need(taken.size() * tower.first.outputs);
      const Strided rows{x + taken.front() * inputs, inputs};
      scratch.linear(tower.first, rows, taken.size(), hidden, tower.first.outputs, {Activation::kRelu});
      scratch.linear(tower.second, {hidden, tower.first.outputs}, taken.size(), out + taken.front() * width, width);
    }
  });
}

}  // namespace mime_fast
