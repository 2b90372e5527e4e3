// Unsigned integers in the order of floating-point numbers, NaN below all: to be compared, and by atomicMax.
#pragma once

__device__ unsigned ordered(float value) {
  unsigned bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0;
  if (bits == 0x80000000u) bits = 0;  // -0 is 0
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

__device__ unsigned long long ordered(double value) {
  if (value != value) return 0;
  const unsigned long long bits = value == 0.0 ? 0 : __double_as_longlong(value);
  return bits >> 63 ? ~bits : bits | 1ull << 63;
}
