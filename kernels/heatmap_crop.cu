// heatmap_crop: stored heatmaps, each cut to the crop window of its image and brought to a grid, as RoIAlign does it.
//
// Set by the launcher:
//   IN       U8, F16 or F32 of dtype.cuh; bytes count as value / 255
//   INDEX    int, long long
#include "dtype.cuh"
#include "subnormals.cuh"

constexpr double UNIT = sizeof(IN::Store) == 1 ? 255.0 : 1.0;
constexpr double FARTHEST = 10.0;  // in images; as in dalimix/cpu/heatmap_crop.py

// One axis of a box. NaN is refused as well; what is accepted keeps the number of samples within reason.
__device__ bool proper(double from, double extent) {
  return fabs(from) <= FARTHEST && extent > 0.0 && extent <= FARTHEST;
}

// The samples of one cell of the output along one axis: the middles of `count` equal parts of the bin.
struct Line {
  double start, bin;  // in cells of the map; the centre of its cell 0 is 0
  int count, cells;   // samples, cells of the map
};

__device__ Line line(double from, double extent, int cells, int grid, int cell) {
  const double bin = max(extent * cells, 1.0) / grid;
  // Shares of an image are quotients: 14 / 25 * 25 / 14 is a little more than 1, but must not take two samples.
  const int count = max(1, static_cast<int>(ceil(bin - 1e-6)));
  return {from * cells - 0.5 + cell * bin, bin, count, cells};
}

// The two cells that a sample lies between, and their shares in it.
struct Tap {
  int low, high;
  double low_share, high_share;
};

__device__ Tap tap(const Line& line, int k) {
  double at = line.start + (k + 0.5) * line.bin / line.count;
  if (at < -1.0 || at > line.cells) return {0, 0, 0.0, 0.0};
  at = max(at, 0.0);
  const int last = line.cells - 1, low = min(static_cast<int>(at), last);
  const double beyond = low == last ? 0.0 : at - low;
  return {low, min(low + 1, last), 1.0 - beyond, beyond};
}

// The sum of the samples along one row of the map. What has no share must not matter, not even infinity or NaN.
__device__ double along(const IN::Store* row,  // [gw]
                        const Line& columns) {
  double sum = 0.0;
  for (int k = 0; k < columns.count; ++k) {
    const Tap t = tap(columns, k);
    if (t.low_share != 0.0) sum += t.low_share * normal(IN::to_float(row[t.low]));
    if (t.high_share != 0.0) sum += t.high_share * normal(IN::to_float(row[t.high]));
  }
  return sum;
}

__device__ double mean(const IN::Store* map,  // [gh, gw]
                       const Line& rows, const Line& columns) {
  double sum = 0.0;
  for (int k = 0; k < rows.count; ++k) {
    const Tap t = tap(rows, k);
    if (t.low_share != 0.0) sum += t.low_share * along(map + static_cast<long long>(t.low) * columns.cells, columns);
    if (t.high_share != 0.0) sum += t.high_share * along(map + static_cast<long long>(t.high) * columns.cells, columns);
  }
  return sum / (static_cast<double>(rows.count) * columns.count * UNIT);
}

// Grid: one block for each sample.
extern "C" __global__ void heatmap_crop(const IN::Store* __restrict__ maps,  // [N, gh, gw]
                                        const INDEX* __restrict__ index,     // [B]
                                        const double* __restrict__ boxes,    // [B, 4] top, left, height, width
                                        int N, int gh, int gw, int g,
                                        float* __restrict__ output) {  // [B, g, g]
  const long long sample = blockIdx.x;
  const INDEX n = index[sample];
  const double* box = boxes + 4 * sample;
  const bool good = n >= 0 && n < N && proper(box[0], box[2]) && proper(box[1], box[3]);
  const IN::Store* map = maps + (good ? n : 0) * static_cast<long long>(gh) * gw;
  for (int cell = threadIdx.x; cell < g * g; cell += blockDim.x) {
    float value = __int_as_float(0x7fc00000);  // nothing can be raised from here
    if (good) {
      const Line rows = line(box[0], box[2], gh, g, cell / g), columns = line(box[1], box[3], gw, g, cell % g);
      value = static_cast<float>(normal(mean(map, rows, columns)));
    }
    output[sample * g * g + cell] = value;
  }
}
