// How int8 activations lie for each way of multiplying them. In: words of four signed bytes, -127 .. 127, 64 words at
// most. Plain loops, which compilers turn into vectors.
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

// Of each word the signs of its bytes (255 where negative, otherwise 0), then their magnitudes.
inline void arrange_magnitudes(const std::uint32_t* bytes, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t negative = bytes[i] >> 7 & 0x01010101u;
    out[2 * i] = negative * 255u;
    out[2 * i + 1] = (bytes[i] ^ negative * 255u) + negative;
  }
}

// What the negative bytes of words that lie so add up to, without their sign.
inline std::uint32_t negative_sum(const std::uint32_t* arranged, std::size_t count) {
  std::uint32_t pairs = 0;  // two sums of 16 bits: 64 words have 128 bytes for each
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t negative = arranged[2 * i] & arranged[2 * i + 1];
    pairs += (negative & 0x00FF00FFu) + (negative >> 8 & 0x00FF00FFu);
  }
  return (pairs & 0xFFFFu) + (pairs >> 16);
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
