// attention_region: the window of side x side cells in which a heatmap has its lowest or its highest sum. Chen et al.,
// "SMMix", arXiv 2212.12977, section 3.2 (equations 5 and 6).
//
// One block works on one heatmap. Sums are float64, along each row and then down the rows, so that all add alike.
#pragma once
#include "ordered.cuh"
#include "subnormals.cuh"

// Of every row, the sums of `side` neighbours; the heatmap is read as it looks after mirroring.
__device__ void sum_along_rows(const float* heatmap,  // [rows, columns]
                               bool flip, int rows, int columns, int side,
                               double* sums) {  // [rows, columns - side + 1]
  const int across = columns - side + 1;
  for (int at = threadIdx.x; at < rows * across; at += blockDim.x) {
    const float* const row = heatmap + at / across * columns;
    double sum = 0.0;
    for (int x = at % across; x < at % across + side; ++x) sum += normal(row[flip ? columns - 1 - x : x]);
    sums[at] = sum;
  }
}

struct Region {
  int y, x;  // its first cell
};

// Ties go to the window that comes first; windows whose sum is NaN are ranked last. All threads get the same.
__device__ Region attention_region(const float* heatmap,  // [rows, columns]
                                   bool flip, int rows, int columns, int side, bool highest,
                                   double* sums) {  // [>= rows * columns], shared by the block
  __shared__ unsigned long long best;
  __shared__ int first;
  const int across = columns - side + 1, windows = (rows - side + 1) * across;
  if (threadIdx.x == 0) best = 0, first = windows;
  sum_along_rows(heatmap, flip, rows, columns, side, sums);
  __syncthreads();

  unsigned long long own = 0;
  int found = windows;  // the first among the best that this thread looks at
  for (int at = threadIdx.x; at < windows; at += blockDim.x) {
    double sum = 0.0;
    for (int r = 0; r < side; ++r) sum += sums[at + r * across];
    const unsigned long long key = ordered(highest ? sum : -sum);
    if (found < windows && key <= own) continue;
    own = key, found = at;
  }
  atomicMax(&best, own);
  __syncthreads();
  if (own == best) atomicMin(&first, found);
  __syncthreads();
  const Region region = {first / across, first % across};
  __syncthreads();  // all have read before the next call writes
  return region;
}
