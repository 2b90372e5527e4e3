// smmix: plans the square region of x_j with the highest heatmap, pasted over that of x_i with the lowest. Chen et al.,
// "SMMix: Self-Motivated Image Mixing for Vision Transformers", arXiv 2212.12977, section 3.2.
//
// Set by the launcher:
//   MIRROR    1 if the argument mirror is given; otherwise it is not read
#include "attention_region.cuh"
#include "plan.cuh"
#include "tokens.cuh"

constexpr int MAX_CELLS = 64 * 64;  // that of dalimix.methods.smmix

// Pixels along one axis: where `side` cells from `to` are written, and how far from there they are read. Where the grid
// does not divide the image, some cells are a pixel larger; what is read ends within the image all the same.
__device__ void place(int to, int from, int side, int n, int g, int* start, int* stop, int* shift) {
  *start = first_pixel(to, n, g);
  *stop = first_pixel(to + side, n, g);
  *shift = first_pixel(from, n, g) - *start;
}

// Grid: one block for each image. Tokens may be finer than the heatmap, `finer` of them along an axis of each cell.
extern "C" __global__ void smmix(const int* __restrict__ permutation,  // [B]
                                 const float* __restrict__ lam,        // [B]
                                 const float* __restrict__ uniform,    // [B, columns]
                                 int columns, int B, int pairing, int per, double prob,
                                 const float* __restrict__ heatmaps,  // [B, gh, gw]
                                 const int* __restrict__ mirror,      // [B]
                                 int H, int W, int gh, int gw, int finer_h, int finer_w, int low, int high,
                                 int* __restrict__ partner,             // [B]
                                 float* __restrict__ weight,            // [B, 2]
                                 float* __restrict__ blend,             // [B]
                                 int* __restrict__ box,                 // [B, 4]
                                 int* __restrict__ shift,               // [B, 2]
                                 unsigned char* __restrict__ tokens) {  // [B, gh * finer_h, gw * finer_w]
  __shared__ double sums[MAX_CELLS];
  const Couple c = couple(permutation, blockIdx.x, B, pairing, per);
  const bool mixed = mixes(c, uniform, columns, prob);
  const int side = low + below(uniform[c.row * columns], high - low + 1);
  const long long cells = static_cast<long long>(gh) * gw;
  const bool flip_i = MIRROR && mirror[c.sample] != 0, flip_j = MIRROR && mirror[c.partner] != 0;
  const Region to = attention_region(heatmaps + c.sample * cells, flip_i, gh, gw, side, false, sums);
  const Region from = attention_region(heatmaps + c.partner * cells, flip_j, gh, gw, side, true, sums);

  const int across = gw * finer_w, all = gh * finer_h * across;
  for (int at = threadIdx.x; at < all; at += blockDim.x) {
    const int y = at / across / finer_h - to.y, x = at % across / finer_w - to.x;
    const bool inside = 0 <= y && y < side && 0 <= x && x < side;
    tokens[static_cast<long long>(c.sample) * all + at] = mixed && inside;
  }

  if (threadIdx.x > 0) return;
  Row row;
  if (mixed) {
    place(to.y, from.y, side, H, gh, &row.box[0], &row.box[2], &row.shift[0]);
    place(to.x, from.x, side, W, gw, &row.box[1], &row.box[3], &row.shift[1]);
    const double pixels = static_cast<double>(row.box[2] - row.box[0]) * (row.box[3] - row.box[1]);
    const double share = pixels / (static_cast<double>(H) * W);
    row.weight[0] = static_cast<float>(1.0 - share);
    row.weight[1] = static_cast<float>(share);
  }
  write(row, c.sample, mixed ? c.partner : c.sample, partner, weight, blend, box, shift);
}
