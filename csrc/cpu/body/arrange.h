// How int8 activations lie where products are of 16 bits. In: words of four signed bytes. A plain loop, which compilers
// turn into vectors.
#pragma once

namespace mime_fast::MIME_FAST_SET {

// Each word's even bytes, then its odd ones, in 16 bits.
inline void arrange_halves(const std::uint32_t* bytes, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t even = bytes[i] & 0x00FF00FFu, odd = bytes[i] >> 8 & 0x00FF00FFu;
    out[2 * i] = even | (even >> 7 & 0x00010001u) * 0xFF00u;
    out[2 * i + 1] = odd | (odd >> 7 & 0x00010001u) * 0xFF00u;
  }
}

}  // namespace mime_fast::MIME_FAST_SET
