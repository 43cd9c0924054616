// Every instruction set that this machine has beside plain C++: kernels on random numbers of odd shapes, then the
// replies of a small model. For machines that Python tests do not reach: tests/isa/run builds it and runs it under an
// emulator.

#include <cstdio>

#include "checks.h"

namespace mime_fast {
namespace {

int check_all() {
  const Kernels& plain = kernels(Isa::kGeneric);
  int checked = 0;
  for (int i = 1; i < kIsaCount; ++i) {
    const auto isa = static_cast<Isa>(i);
    if (*why_not(isa) != '\0') {
      std::printf("%s: not here: %s\n", isa_name(isa), why_not(isa));
      continue;
    }
    const Kernels& table = kernels(isa);
    check_kernels(table, plain);
    check_engine(isa);
    ++checked;
    std::printf("%s: checked\n", isa_name(isa));
  }
  std::printf("%d instruction sets, %d failures; best: %s\n", checked, failures, isa_name(best_isa()));
  return failures == 0 && checked > 0 ? 0 : 1;
}

}  // namespace
}  // namespace mime_fast

int main() { return mime_fast::check_all(); }
