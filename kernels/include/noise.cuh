// Standard normal numbers for the pixels of an image, the same bits on every machine. Box and Muller, "A Note on the
// Generation of Random Normal Deviates", Ann. Math. Statist. 29 (1958): sums, products and square roots of float32
// alone, which IEEE 754 rounds, and polynomials for the functions of a library, which round as they like.
#pragma once
#include "erased.cuh"
#include "philox.cuh"

constexpr int BLOCK = 8;  // pixels of a channel that share a counter: two for each word

// sqrt(-2 ln u) for u = (k + 1/2) / 2^16, where k is the upper half of the word; up to 4.85.
__device__ float radius(unsigned word) {
  constexpr int ROOT_HALF = 0x3F3504F3;                                    // its bits
  const float odd = static_cast<float>(static_cast<int>(word >> 15 | 1));  // 2^17 u = 2^(exponent + 17) (1 + t)
  const int above = static_cast<int>(__float_as_uint(odd)) - (ROOT_HALF + (17 << 23));
  const float exponent = static_cast<float>(above >> 23);
  const float t = __int_as_float((above & 0x7FFFFF) + ROOT_HALF) - 1.0f;  // 1/2 <= (1 + t)^2 < 2
  float log = -0.36205435f;                                               // -2 ln(1 + t) / t, within 1e-4
  log = log * t + 0.5440662f;
  log = log * t - 0.67186564f;
  log = log * t + 0.99877304f;
  log = log * t - 1.9999456f;
  return sqrtf(exponent * -1.3862944f + t * log);
}

// Two of them, from the halves of a word: the lower one is an angle of a quarter circle, and which quarter.
__device__ void normals(unsigned word, float& first, float& second) {
  const float r = radius(word);
  const float angle = static_cast<float>(static_cast<int>(word & 0x3FFF) * 2 - 16383) * 4.7936899e-05f;  // pi / 65536
  const float square = angle * angle;
  const float sine = angle * ((0.008151636f * square - 0.1666248f) * square + 0.9999986f);
  const float along = (0.040398534f * square - 0.49970815f) * square + 0.99999f;
  const float cosine = word & 0x4000 ? -along : along;
  const bool turned = word & 0x8000;
  first = r * (turned ? sine : cosine);
  second = r * (turned ? cosine : sine);
}

// Those of pixels x .. x + N - 1 of a row. N is at most BLOCK, so they lie in two blocks at most.
template <int N>
__device__ void noise(uint2 key, int x, int y, int channel, float (&to)[N]) {
  const int skipped = x & (BLOCK - 1);  // x may be negative, where a group begins outside of the image that is read
  const unsigned block = (x - skipped) / BLOCK, row = y, plane = channel;
  const uint4 one = philox({block, row, plane, NOISE}, key);
  unsigned word[8] = {one.x, one.y, one.z, one.w};
  if (skipped + N > BLOCK) {
    const uint4 next = philox({block + 1, row, plane, NOISE}, key);
    word[4] = next.x, word[5] = next.y, word[6] = next.z, word[7] = next.w;
  }
#pragma unroll
  for (int k = 0; k < 6; ++k) word[k] = skipped & 4 ? word[k + 2] : word[k];
#pragma unroll
  for (int k = 0; k < 5; ++k) word[k] = skipped & 2 ? word[k + 1] : word[k];
  float pair[N + 2];
#pragma unroll
  for (int k = 0; k < N / 2 + 1; ++k) normals(word[k], pair[2 * k], pair[2 * k + 1]);
#pragma unroll
  for (int n = 0; n < N; ++n) to[n] = skipped & 1 ? pair[n + 1] : pair[n];
}
