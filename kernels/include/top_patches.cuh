// top_patches: which cells of a heatmap are the N highest. Ties go to the lower index; NaN is ranked last.
//
// One block works on one heatmap. Every cell counts how many come before it: no sort, no order of the threads.
#pragma once
#include "ordered.cuh"

// Reads one heatmap, as it looks after mirroring. The block must synchronise before the keys are used.
__device__ void load_keys(const float* heatmap,  // [g, g]
                          bool flip, int g,
                          unsigned* keys) {  // [g * g], shared by the block
  for (int cell = threadIdx.x; cell < g * g; cell += blockDim.x) {
    const int r = cell / g, c = cell % g;
    keys[cell] = ordered(heatmap[r * g + (flip ? g - 1 - c : c)]);
  }
}

// How many cells are ranked before this one.
__device__ int rank(const unsigned* keys, int cell, int cells) {
  const unsigned own = keys[cell];
  int before = 0;
  for (int other = 0; other < cell; ++other) before += keys[other] >= own;
  for (int other = cell + 1; other < cells; ++other) before += keys[other] > own;
  return before;
}
