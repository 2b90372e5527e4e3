// token_mask: which tokens of a grid of up to 32 x 32 show the partner. One warp works on one mask: lane r keeps row r,
// bit c of it is token (r, c). Liu et al., "TokenMix", arXiv 2207.08409, section 3.2.
#pragma once
#include "philox.cuh"

constexpr int TRIES = 10;  // for each block
constexpr int ASPECTS_BITS = 10;
constexpr unsigned WARP = 0xffffffffu;

__device__ int sum_of_warp(int value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(WARP, value, step);
  return value;
}

// Blocks are added until n tokens are covered, or ten tries in a row cover nothing new or too much.
__device__ unsigned blocks_row(uint2 key, int n, int g,
                               const double* aspects) {  // [1 << ASPECTS_BITS] quantiles of height / width
  const int lane = threadIdx.x;
  unsigned row = 0;
  for (unsigned tries = 0, failed = 0; n > 0 && failed < TRIES; ++tries) {
    const uint4 random = philox({tries, 0, 0, 0}, key);
    const double area = 1.0 + unit(random.x) * (n - 1), aspect = aspects[random.y >> (32 - ASPECTS_BITS)];
    const int h = static_cast<int>(rint(sqrt(area * aspect))), w = static_cast<int>(rint(sqrt(area / aspect)));
    unsigned block = 0;
    if (h < g && w < g) {
      const int top = static_cast<int>(unit(random.z) * (g - h + 1));
      const int left = static_cast<int>(unit(random.w) * (g - w + 1));
      if (top <= lane && lane < top + h) block = ((1u << w) - 1) << left;
    }
    const int fresh = sum_of_warp(__popc(block & ~row));
    const bool taken = 0 < fresh && fresh <= n;
    row |= taken ? block : 0u;
    n -= taken ? fresh : 0;
    failed = taken ? 0 : failed + 1;
  }
  return row;
}

// The lowest of the n highest keys, bit by bit from the highest: the greatest number that n of them reach.
__device__ unsigned lowest_of_highest(const unsigned* keys,  // [cells]
                                      int n, int cells) {
  unsigned lowest = 0;
  for (unsigned bit = 1u << 31; bit > 0; bit >>= 1) {
    int reach = 0;
    for (int cell = threadIdx.x; cell < cells; cell += 32) reach += keys[cell] >= (lowest | bit);
    if (sum_of_warp(reach) >= n) lowest |= bit;
  }
  return lowest;
}

// Bit k % 32 of word k / 32: whether key k is among the n highest; ties go to the lower index.
__device__ void choose_highest(const unsigned* keys,  // [cells]
                               int n, int cells,
                               unsigned* chosen) {  // [cells / 32 + 2]
  const unsigned lowest = lowest_of_highest(keys, n, cells), before = (1u << threadIdx.x) - 1;
  int above = 0;
  for (int cell = threadIdx.x; cell < cells; cell += 32) above += keys[cell] > lowest;
  int ties_left = n - sum_of_warp(above);
  for (int word = 0; word < cells / 32 + 2; ++word) {
    const int cell = 32 * word + threadIdx.x;
    const unsigned higher = __ballot_sync(WARP, cell < cells && keys[cell] > lowest);
    const unsigned ties = __ballot_sync(WARP, cell < cells && keys[cell] == lowest);
    const bool tied = (ties >> threadIdx.x & 1) != 0 && __popc(ties & before) < ties_left;
    chosen[word] = higher | __ballot_sync(WARP, tied);
    ties_left -= __popc(ties);
  }
}

// The n tokens with the highest random numbers.
__device__ unsigned random_row(uint2 key, int n, int g,
                               unsigned* keys,      // [>= g * g + 3], shared by the warp
                               unsigned* chosen) {  // [>= g * g / 32 + 2], likewise
  for (int quad = threadIdx.x; quad * 4 < g * g; quad += 32) {
    const uint4 random = philox({static_cast<unsigned>(quad), 1, 0, 0}, key);
    keys[4 * quad] = random.x, keys[4 * quad + 1] = random.y, keys[4 * quad + 2] = random.z,
             keys[4 * quad + 3] = random.w;
  }
  __syncwarp();
  choose_highest(keys, n, g * g, chosen);
  __syncwarp();
  if (threadIdx.x >= g) return 0;
  const int first = threadIdx.x * g;  // of the row; it lies in two words at most
  const unsigned long long bits = chosen[first / 32] | static_cast<unsigned long long>(chosen[first / 32 + 1]) << 32;
  return static_cast<unsigned>(bits >> first % 32 & ((1ull << g) - 1));
}
