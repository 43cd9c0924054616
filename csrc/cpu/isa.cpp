#include <array>

#include "mime_fast/kernels.h"
#include "tables.h"

namespace mime_fast {
namespace {

struct Choice {
  const char* name;
  const Kernels* table;  // null: not built for this processor's family
  const char* missing;   // what this machine lacks, empty if nothing
};

std::array<Choice, kIsaCount> find_choices() {
#if MIME_FAST_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  const bool bf16 = vnni && __builtin_cpu_supports("avx512bf16");
  return {{{"generic", &kGenericKernels, ""},
           {"avx2", &kAvx2Kernels, avx2 ? "" : "this processor lacks AVX2 or FMA"},
           {"avx512", &kAvx512Kernels, avx512 ? "" : "this processor lacks AVX-512 F, BW, VL or DQ"},
           {"avx512_vnni", &kAvx512VnniKernels, vnni ? "" : "this processor lacks AVX-512 VNNI"},
           {"avx512_bf16", &kAvx512Bf16Kernels, bf16 ? "" : "this processor lacks AVX-512 BF16"}}};
#else
  const char* missing = "built for a processor or a compiler without it";
  return {{{"generic", &kGenericKernels, ""},
           {"avx2", nullptr, missing},
           {"avx512", nullptr, missing},
           {"avx512_vnni", nullptr, missing},
           {"avx512_bf16", nullptr, missing}}};
#endif
}

const Choice& choice(Isa isa) {
  static const std::array<Choice, kIsaCount> choices = find_choices();
  return choices[static_cast<std::size_t>(isa)];
}

}  // namespace

Isa best_isa() {
  for (int i = kIsaCount - 1; i > 0; --i) {
    if (*why_not(static_cast<Isa>(i)) == '\0') return static_cast<Isa>(i);
  }
  return Isa::kGeneric;
}

const char* why_not(Isa isa) { return choice(isa).missing; }
const char* isa_name(Isa isa) { return choice(isa).name; }
const Kernels& kernels(Isa isa) { return *choice(isa).table; }

}  // namespace mime_fast
