// random_choice: for each image takes the row of the plan of one of M methods.
#include "plan.cuh"

// Grid: one block for each image.
extern "C" __global__ void random_choice(
    const int* __restrict__ permutation,          // [B]
    const float* __restrict__ uniform,            // [B, 2]: which method, whether to mix
    const double* __restrict__ cumulative,        // [M] running sum of the methods' shares
    const int* __restrict__ partners,             // [M, B]
    const float* __restrict__ weights,            // [M, B, 2]
    const float* __restrict__ blends,             // [M, B]
    const int* __restrict__ boxes,                // [M, B, 4]
    const int* __restrict__ shifts,               // [M, B, 2]
    const unsigned char* __restrict__ tokens_of,  // [M, B, cells]; not read if cells is 0
    int M, int B, int cells, int pairing, int per, double prob,
    int* __restrict__ partner,             // [B]
    float* __restrict__ weight,            // [B, 2]
    float* __restrict__ blend,             // [B]
    int* __restrict__ box,                 // [B, 4]
    int* __restrict__ shift,               // [B, 2]
    unsigned char* __restrict__ tokens) {  // [B, cells]
  const Couple c = couple(permutation, blockIdx.x, B, pairing, per);
  int chosen = 0;
  while (chosen < M - 1 && cumulative[chosen] <= uniform[c.row * 2]) ++chosen;
  const long long from = static_cast<long long>(chosen) * B + c.sample;
  const bool mixed = uniform[c.row * 2 + 1] < prob;
  for (int cell = threadIdx.x; cell < cells; cell += blockDim.x)
    tokens[static_cast<long long>(c.sample) * cells + cell] = mixed ? tokens_of[from * cells + cell] : 0;
  if (threadIdx.x > 0) return;
  Row row;
  if (mixed) {
    row.blend = blends[from];
    for (int k = 0; k < 2; ++k) row.weight[k] = weights[2 * from + k];
    for (int k = 0; k < 4; ++k) row.box[k] = boxes[4 * from + k];
    for (int k = 0; k < 2; ++k) row.shift[k] = shifts[2 * from + k];
  }
  write(row, c.sample, mixed ? partners[from] : c.sample, partner, weight, blend, box, shift);
}
