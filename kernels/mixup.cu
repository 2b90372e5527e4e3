// mixup: plans lambda * x_i + (1 - lambda) * x_j. Zhang et al., "mixup", arXiv 1710.09412, equation 1 ff.
#include "plan.cuh"

extern "C" __global__ void mixup(const int* __restrict__ permutation,  // [B]
                                 const float* __restrict__ lam,        // [B]
                                 const float* __restrict__ uniform,    // [B, columns]
                                 int columns, int B, int pairing, int per, double prob,
                                 int* __restrict__ partner,   // [B]
                                 float* __restrict__ weight,  // [B, 2]
                                 float* __restrict__ blend,   // [B]
                                 int* __restrict__ box,       // [B, 4]
                                 int* __restrict__ shift) {   // [B, 2]
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= B) return;
  const Couple c = couple(permutation, at, B, pairing, per);
  Row row;
  const bool mixed = mixes(c, uniform, columns, prob);
  if (mixed) {
    row.blend = row.weight[0] = lam[c.row];
    row.weight[1] = 1.0f - row.blend;
  }
  write(row, c.sample, mixed ? c.partner : c.sample, partner, weight, blend, box, shift);
}
