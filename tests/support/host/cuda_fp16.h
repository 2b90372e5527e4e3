// Takes the place of CUDA's header of this name when kernels are compiled for the CPU. Written out, because not every
// C++ compiler knows a 16-bit float. Rounds to nearest, ties to even.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

struct __half {
  unsigned short bits;
};

inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __half_as_ushort(__half h) { return h.bits; }

inline float __half2float(__half h) {
  const int exponent = h.bits >> 10 & 31, mantissa = h.bits & 1023;
  const float sign = h.bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp(1.0f * mantissa, -24));
}

inline __half __float2half_rn(float v) {
  uint32_t u;
  std::memcpy(&u, &v, sizeof u);
  const unsigned short sign = u >> 16 & 0x8000;
  u &= 0x7fffffff;
  uint32_t h;
  if (u > 0x7f800000) {
    h = 0x7fff;  // not a number
  } else if (u >= 0x477ff000) {
    h = 0x7c00;  // rounds to infinity
  } else if (u < 0x38800000) {
    h = static_cast<uint32_t>(std::nearbyint(std::ldexp(std::fabs(v), 24)));  // subnormal: multiples of 2^-24
  } else {
    h = ((u + 0xfff + (u >> 13 & 1)) >> 13) - (112 << 10);
  }
  return {static_cast<unsigned short>(sign | h)};
}
