// resample_heatmaps: brings heatmaps to another grid by weights for every axis, such as dalimix.resampling makes.
#include "subnormals.cuh"

extern "C" __global__ void resample_heatmaps(const float* __restrict__ heatmaps,  // [B, from_h, from_w]
                                             const double* __restrict__ rows,     // [g, from_h] shares of the old rows
                                             const double* __restrict__ columns,  // [g, from_w] and columns
                                             int B, int from_h, int from_w, int g,
                                             float* __restrict__ output) {  // [B, g, g]
  const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= static_cast<long long>(B) * g * g) return;
  const double* row = rows + at / g % g * from_h;
  const double* column = columns + at % g * from_w;
  const float* heatmap = heatmaps + at / (g * g) * from_h * from_w;
  double sum = 0.0;
  for (int y = 0; y < from_h; ++y) {
    if (row[y] == 0.0) continue;  // what has no share must not matter, not even infinity or NaN
    double along = 0.0;
    for (int x = 0; x < from_w; ++x)
      if (column[x] != 0.0) along += column[x] * normal(heatmap[y * from_w + x]);
    sum += row[y] * along;
  }
  output[at] = static_cast<float>(normal(sum));
}
