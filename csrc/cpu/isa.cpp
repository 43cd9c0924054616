#include <array>

#include "mime_fast/kernels.h"
#include "tables.h"

#if MIME_FAST_X86
#include <cpuid.h>
#elif MIME_FAST_ARM64 && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace mime_fast {
namespace {

struct Choice {
  const char* name;
  const Kernels* table;  // null: not built for this processor's family
  const char* missing;   // what this machine lacks, empty if nothing
};

constexpr Kernels kGeneric = generic::table("generic", Isa::kGeneric);
constexpr const char* kOtherFamily = "built for another family of processors or by a compiler without it";

#if MIME_FAST_X86

constexpr Kernels kAvx2 = avx2::table("avx2", Isa::kAvx2);
constexpr Kernels kAvx2Vnni = avx2_vnni::table("avx2_vnni", Isa::kAvx2Vnni);
constexpr Kernels kAvx512 = avx512::table("avx512", Isa::kAvx512);
constexpr Kernels kAvx512Vnni = avx512_vnni::table("avx512_vnni", Isa::kAvx512Vnni);
constexpr Kernels kAvx512Bf16 = avx512_bf16::table("avx512_bf16", Isa::kAvx512Bf16);

// 256-bit VNNI, of processors without AVX-512: a bit of its own, which __builtin_cpu_supports does not know everywhere.
bool has_avx_vnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}

std::array<Choice, kIsaCount> find_choices() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx2_vnni = avx2 && has_avx_vnni();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  const bool bf16 = vnni && __builtin_cpu_supports("avx512bf16");
  return {{{"generic", &kGeneric, ""},
           {"avx2", &kAvx2, avx2 ? "" : "this processor lacks AVX2 or FMA"},
           {"avx2_vnni", &kAvx2Vnni, avx2_vnni ? "" : "this processor lacks AVX-VNNI"},
           {"avx512", &kAvx512, avx512 ? "" : "this processor lacks AVX-512 F, BW, VL or DQ"},
           {"avx512_vnni", &kAvx512Vnni, vnni ? "" : "this processor lacks AVX-512 VNNI"},
           {"avx512_bf16", &kAvx512Bf16, bf16 ? "" : "this processor lacks AVX-512 BF16"},
           {"neon", nullptr, kOtherFamily},
           {"neon_dotprod", nullptr, kOtherFamily}}};
}

#else

#if MIME_FAST_ARM64
constexpr Kernels kNeon = neon::table("neon", Isa::kNeon);
constexpr Kernels kNeonDotprod = neon_dotprod::table("neon_dotprod", Isa::kNeonDotprod);
#endif

std::array<Choice, kIsaCount> find_choices() {
  std::array<Choice, kIsaCount> choices = {{{"generic", &kGeneric, ""},
                                            {"avx2", nullptr, kOtherFamily},
                                            {"avx2_vnni", nullptr, kOtherFamily},
                                            {"avx512", nullptr, kOtherFamily},
                                            {"avx512_vnni", nullptr, kOtherFamily},
                                            {"avx512_bf16", nullptr, kOtherFamily},
                                            {"neon", nullptr, kOtherFamily},
                                            {"neon_dotprod", nullptr, kOtherFamily}}};
#if MIME_FAST_ARM64
  choices[static_cast<std::size_t>(Isa::kNeon)] = {"neon", &kNeon, ""};
#if defined(__linux__)
  const bool dotprod = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  const bool dotprod = true;  // Apple's processors have it
#endif
  choices[static_cast<std::size_t>(Isa::kNeonDotprod)] = {
      "neon_dotprod", &kNeonDotprod, dotprod ? "" : "this processor lacks the 8-bit dot product (asimddp)"};
#endif
  return choices;
}

#endif

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
