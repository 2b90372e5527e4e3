// Test kernel: one warp chooses among keys.
#include "token_mask.cuh"

extern "C" __global__ void choose_highest_of(const unsigned* keys,  // [cells]
                                             int n, int cells,
                                             unsigned* chosen) {  // [cells / 32 + 2]
  choose_highest(keys, n, cells, chosen);
}
