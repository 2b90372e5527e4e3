// erase: plans the boxes of random erasing. Zhong et al., "Random Erasing Data Augmentation", arXiv 1708.04896; areas,
// sides and places are drawn as timm's RandomErasing draws them.
#include "erased.cuh"
#include "philox.cuh"

constexpr int TRIES = 10;  // for each box
constexpr int ASPECTS_BITS = 10;

// Box k of an image, whose area in pixels is drawn from `smallest` to `largest`.
__device__ int4 box_of(uint2 key, unsigned k, double smallest, double largest,
                       const double* aspects,  // [1 << ASPECTS_BITS] quantiles of height / width
                       int H, int W) {
  for (unsigned tries = 0; tries < TRIES; ++tries) {
    const uint4 random = philox({tries, k, 0, BOXES}, key);
    const double area = smallest + unit(random.x) * (largest - smallest);
    const double aspect = aspects[random.y >> (32 - ASPECTS_BITS)];
    const int h = static_cast<int>(rint(sqrt(area * aspect))), w = static_cast<int>(rint(sqrt(area / aspect)));
    if (h >= H || w >= W) continue;
    const int top = static_cast<int>(unit(random.z) * (H - h + 1)),
              left = static_cast<int>(unit(random.w) * (W - w + 1));
    return {top, left, top + h, left + w};
  }
  return {0, 0, 0, 0};
}

extern "C" __global__ void erase(const unsigned* __restrict__ key,    // [B, 2]
                                 const double* __restrict__ aspects,  // [1 << ASPECTS_BITS]
                                 int B, double prob, double smallest, double largest, int fewest, int most, int H,
                                 int W,
                                 int* __restrict__ box) {  // [B, most, 4]
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= B) return;
  const uint2 seed = {key[2 * i], key[2 * i + 1]};
  const uint4 random = philox({0, 0, 0, WHETHER}, seed);
  const int drawn = fewest + static_cast<int>(unit(random.y) * (most - fewest + 1));
  const int count = unit(random.x) < prob ? drawn : 0;
  const double pixels = static_cast<double>(H) * W / drawn;  // for each box
  for (int k = 0; k < most; ++k) {
    int4 of_image = {0, 0, 0, 0};
    if (k < count) of_image = box_of(seed, k, smallest * pixels, largest * pixels, aspects, H, W);
    int* const to = box + 4 * (static_cast<long long>(i) * most + k);
    to[0] = of_image.x, to[1] = of_image.y, to[2] = of_image.z, to[3] = of_image.w;
  }
}
