// attentive_cutmix: plans the cells of x_j with the highest heatmap, pasted onto x_i at their own places.
// Walawalkar et al., "Attentive CutMix", arXiv 2003.13048, section 2 (equation 1).
//
// Set by the launcher:
//   MIRROR    1 if the argument mirror is given; otherwise it is not read
#include "plan.cuh"
#include "tokens.cuh"
#include "top_patches.cuh"

constexpr int MAX_CELLS = 64 * 64;  // that of dalimix.methods.attentive_cutmix

// Grid: one block for each image. The tokens may be finer than the heatmap: `finer` of them along a side of each cell.
extern "C" __global__ void attentive_cutmix(const int* __restrict__ permutation,  // [B]
                                            const float* __restrict__ lam,        // [B]
                                            const float* __restrict__ uniform,    // [B, columns]
                                            int columns, int B, int pairing, int per, double prob,
                                            const float* __restrict__ heatmaps,  // [B, g, g]
                                            const int* __restrict__ mirror,      // [B]
                                            int H, int W, int g, int finer, int low, int high,
                                            int* __restrict__ partner,             // [B]
                                            float* __restrict__ weight,            // [B, 2]
                                            float* __restrict__ blend,             // [B]
                                            int* __restrict__ box,                 // [B, 4]
                                            int* __restrict__ shift,               // [B, 2]
                                            unsigned char* __restrict__ tokens) {  // [B, g * finer, g * finer]
  __shared__ unsigned keys[MAX_CELLS];
  __shared__ unsigned long long pasted;  // pixels
  const Couple c = couple(permutation, blockIdx.x, B, pairing, per);
  const bool mixed = mixes(c, uniform, columns, prob);
  const int top = mixed ? low + below(uniform[c.row * columns], high - low + 1) : 0;
  if (threadIdx.x == 0) pasted = 0;
  load_keys(heatmaps + static_cast<long long>(c.partner) * g * g, MIRROR && mirror[c.partner] != 0, g, keys);
  __syncthreads();

  const int side = g * finer;
  unsigned char* const of_sample = tokens + static_cast<long long>(c.sample) * side * side;
  for (int cell = threadIdx.x; cell < g * g; cell += blockDim.x) {
    const int y = cell / g, x = cell % g;
    const bool shown = rank(keys, cell, g * g) < top;
    if (shown) atomicAdd(&pasted, static_cast<unsigned long long>(pixels_of(y, H, g)) * pixels_of(x, W, g));
    for (int k = 0; k < finer * finer; ++k) of_sample[(y * finer + k / finer) * side + x * finer + k % finer] = shown;
  }
  __syncthreads();

  if (threadIdx.x > 0) return;
  Row row;
  const double share = static_cast<double>(pasted) / (static_cast<double>(H) * W);
  row.weight[0] = static_cast<float>(1.0 - share);
  row.weight[1] = static_cast<float>(share);
  write(row, c.sample, mixed ? c.partner : c.sample, partner, weight, blend, box, shift);
}
