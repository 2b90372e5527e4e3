// Philox4x32-10: random numbers from a counter and a key. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011, section 3.3 and table 1.
#pragma once

__device__ uint4 philox(uint4 counter, uint2 key) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned long long first = 0xD2511F53ull * counter.x, second = 0xCD9E8D57ull * counter.z;
    counter = {static_cast<unsigned>(second >> 32) ^ counter.y ^ key.x, static_cast<unsigned>(second),
               static_cast<unsigned>(first >> 32) ^ counter.w ^ key.y, static_cast<unsigned>(first)};
    key.x += 0x9E3779B9u;
    key.y += 0xBB67AE85u;
  }
  return counter;
}

// In [0, 1), exactly.
__device__ double unit(unsigned word) { return word * (1.0 / 4294967296.0); }
