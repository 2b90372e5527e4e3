// Element types of images. Each has the type it is stored as and exact ways to and from float.
// The launcher picks two of them: -DIN=U8 -DOUT=F16.
#pragma once
#include <cuda_fp16.h>

struct U8 {
  using Store = unsigned char;
  static __device__ float to_float(Store v) { return v; }
  // Nearest, ties to even, saturated; NaN becomes 0.
  static __device__ Store from_float(float v) {
    return static_cast<Store>(__float2int_rn(fminf(fmaxf(v, 0.0f), 255.0f)));
  }
};

struct F16 {  // stored as bits: registers are packed as integers
  using Store = unsigned short;
  static __device__ float to_float(Store v) { return __half2float(__ushort_as_half(v)); }
  static __device__ Store from_float(float v) { return __half_as_ushort(__float2half_rn(v)); }
};

struct BF16 {  // the upper bits of a float
  using Store = unsigned short;
  static __device__ float to_float(Store v) { return __uint_as_float(static_cast<unsigned>(v) << 16); }
  // Nearest, ties to even; a NaN stays one.
  static __device__ Store from_float(float v) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    Store bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(v));
    return bits;
#else
    const unsigned bits = __float_as_uint(v);
    return v != v ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
#endif
  }
};

struct F32 {
  using Store = unsigned;
  static __device__ float to_float(Store v) { return __uint_as_float(v); }
  static __device__ Store from_float(float v) { return __float_as_uint(v); }
};
