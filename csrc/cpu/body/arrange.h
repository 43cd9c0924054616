// How int8 activations lie for each way of multiplying them. In: words of four signed bytes, -127 .. 127. Plain loops,
// which compilers turn into vectors.
#pragma once

namespace mime_fast::MIME_FAST_SET {

// For products of unsigned by signed bytes: kZeroPoint added.
inline void arrange_unsigned(const std::uint32_t* bytes, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = bytes[i] ^ 0x80808080u;
}

// As they are.
inline void arrange_signed(const std::uint32_t* bytes, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = bytes[i];
}

// Each word, then the magnitudes of its bytes.
inline void arrange_magnitudes(const std::uint32_t* bytes, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t negative = bytes[i] >> 7 & 0x01010101u;
    out[2 * i] = bytes[i];
    out[2 * i + 1] = (bytes[i] ^ negative * 255u) + negative;
  }
}

// Each word's even bytes, then its odd ones, in 16 bits.
inline void arrange_halves(const std::uint32_t* bytes, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t even = bytes[i] & 0x00FF00FFu, odd = bytes[i] >> 8 & 0x00FF00FFu;
    out[2 * i] = even | (even >> 7 & 0x00010001u) * 0xFF00u;
    out[2 * i + 1] = odd | (odd >> 7 & 0x00010001u) * 0xFF00u;
  }
}

}  // namespace mime_fast::MIME_FAST_SET
