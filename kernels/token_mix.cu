// token_mix: plans tokens of x_j on x_i, and what they are worth. Liu et al., "TokenMix", arXiv 2207.08409,
// sections 3.2 and 3.3.
//
// Set by the launcher:
//   BLOCKS            1: rectangles; 0: tokens by themselves
//   HEATMAPS, MIRROR  1 if the argument of that name is given; otherwise it is not read
#include "plan.cuh"
#include "token_mask.cuh"
#include "tokens.cuh"

constexpr int MAX_GRID = 32;  // that of dalimix.methods.token_mix: one lane of the warp for each row

// What counts of a heatmap: NaN and all below 0 do not, nor do numbers so small that a GPU would flush them.
__device__ double positive(float v) { return v >= 1.17549435e-38f ? v : 0.0; }

// Sum over the lanes in their order, so that it rounds as on the CPU.
__device__ double in_order(double value, int lanes) {
  double sum = 0.0;
  for (int lane = 0; lane < lanes; ++lane) sum += __shfl_sync(WARP, value, lane);
  return sum;
}

// Share of a heatmap inside the tokens `row` of this lane's row (equation 5). NaN if the map is NaN all over: nothing
// can be raised from here.
__device__ float activation(const float* heatmap,  // [g, g]
                            bool flip, unsigned row, int g) {
  const int lane = threadIdx.x;
  double inside = 0.0, all = 0.0;
  bool blind = true;
  for (int c = 0; lane < g && c < g; ++c) {
    const float value = heatmap[lane * g + (flip ? g - 1 - c : c)];
    blind = blind && value != value;
    all += positive(value);
    inside += row >> c & 1 ? positive(value) : 0.0;
  }
  const double share = in_order(inside, g) / (in_order(all, g) + 1e-8);
  return __ballot_sync(WARP, !blind) ? static_cast<float>(share) : __int_as_float(0x7fc00000);
}

// Grid: one block of one warp for each image. Tokens may be finer than the mask: `finer` along each of its sides.
extern "C" __global__ void token_mix(const int* __restrict__ permutation,  // [B]
                                     const float* __restrict__ lam,        // [B]; not read if fixed >= 0
                                     const float* __restrict__ uniform,    // [B, columns]
                                     int columns, int B, int pairing, int per, double prob,
                                     const unsigned* __restrict__ key,    // [B, 2]
                                     const double* __restrict__ aspects,  // [1 << ASPECTS_BITS]
                                     const float* __restrict__ heatmaps,  // [B, g, g]
                                     const int* __restrict__ mirror,      // [B]
                                     int fixed, int min_tokens, int H, int W, int g, int finer,
                                     int* __restrict__ partner,             // [B]
                                     float* __restrict__ weight,            // [B, 2]
                                     float* __restrict__ blend,             // [B]
                                     int* __restrict__ box,                 // [B, 4]
                                     int* __restrict__ shift,               // [B, 2]
                                     unsigned char* __restrict__ tokens) {  // [B, g * finer, g * finer]
  __shared__ unsigned keys[MAX_GRID * MAX_GRID + 3], chosen[MAX_GRID * MAX_GRID / 32 + 2];
  const int lane = threadIdx.x;
  const Couple c = couple(permutation, blockIdx.x, B, pairing, per);
  const bool mixed = mixes(c, uniform, columns, prob);
  const int drawn = fixed >= 0 ? fixed : static_cast<int>(other_share(lam[c.row]) * (g * g));
  const int n = mixed ? min(g * g, drawn + min_tokens) : 0;
  const uint2 seed = {key[2 * c.row], key[2 * c.row + 1]};
  const unsigned shown = BLOCKS ? blocks_row(seed, n, g, aspects) : random_row(seed, n, g, keys, chosen);

  const int side = g * finer;
  unsigned char* const of_sample = tokens + static_cast<long long>(c.sample) * side * side;
  for (int k = 0; lane < g && k < finer * side; ++k) of_sample[lane * finer * side + k] = shown >> k % side / finer & 1;

  Row row;
  int across = 0;
  for (int x = 0; x < g; ++x) across += shown >> x & 1 ? pixels_of(x, W, g) : 0;
  const double pixels = in_order(static_cast<double>(lane < g ? pixels_of(lane, H, g) : 0) * across, g);
  const double share = pixels / (static_cast<double>(H) * W);
  row.weight[0] = static_cast<float>(1.0 - share);
  row.weight[1] = static_cast<float>(share);
  if (HEATMAPS && mixed) {
    const long long cells = static_cast<long long>(g) * g;
    row.weight[0] = activation(heatmaps + c.sample * cells, MIRROR && mirror[c.sample] != 0, ~shown, g);
    row.weight[1] = activation(heatmaps + c.partner * cells, MIRROR && mirror[c.partner] != 0, shown, g);
  }
  if (lane == 0) write(row, c.sample, mixed ? c.partner : c.sample, partner, weight, blend, box, shift);
}
