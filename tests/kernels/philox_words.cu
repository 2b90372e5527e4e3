// Test kernel: Philox of a counter and a key for each thread.
#include "philox.cuh"

extern "C" __global__ void philox_words(const unsigned* counters,  // [n, 4]
                                        const unsigned* keys,      // [n, 2]
                                        unsigned* words) {         // [n, 4]
  const unsigned *c = counters + 4 * threadIdx.x, *k = keys + 2 * threadIdx.x;
  const uint4 random = philox({c[0], c[1], c[2], c[3]}, {k[0], k[1]});
  unsigned* const to = words + 4 * threadIdx.x;
  to[0] = random.x, to[1] = random.y, to[2] = random.z, to[3] = random.w;
}
