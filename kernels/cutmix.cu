// cutmix: plans the box that is cut from x_j and pasted onto x_i. Yun et al., "CutMix", arXiv 1905.04899, section 3.1.
#include "plan.cuh"

__device__ int clipped(int v, int n) { return min(max(v, 0), n); }

// r = sqrt(1 - lambda) of each side around a centre drawn anywhere, cut off at the border (equation 2).
__device__ void box_of_area(int* box, float lam, const float* u, int H, int W) {
  const double r = sqrt(other_share(lam));
  const int half_h = static_cast<int>(H * r) / 2, half_w = static_cast<int>(W * r) / 2;
  const int y = below(u[0], H), x = below(u[1], W);
  box[0] = clipped(y - half_h, H);
  box[1] = clipped(x - half_w, W);
  box[2] = clipped(y + half_h, H);
  box[3] = clipped(x + half_w, W);
}

// Sides drawn from low .. high, placed anywhere inside the image (timm's ratio_minmax).
__device__ void box_of_sides(int* box, const float* u, int low_h, int high_h, int low_w, int high_w, int H, int W) {
  const int h = low_h + below(u[0], high_h - low_h + 1);
  const int w = low_w + below(u[1], high_w - low_w + 1);
  box[0] = below(u[2], H - h + 1);
  box[1] = below(u[3], W - w + 1);
  box[2] = box[0] + h;
  box[3] = box[1] + w;
}

// high_h < 0: the area comes from lam. correct_lam: the label shares come from the clipped box, not from lam.
extern "C" __global__ void cutmix(const int* __restrict__ permutation,  // [B]
                                  const float* __restrict__ lam,        // [B]
                                  const float* __restrict__ uniform,    // [B, columns]
                                  int columns, int B, int pairing, int per, double prob, int H, int W, int low_h,
                                  int high_h, int low_w, int high_w, int correct_lam,
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
    const float* u = uniform + c.row * columns;
    if (high_h >= 0)
      box_of_sides(row.box, u, low_h, high_h, low_w, high_w, H, W);
    else
      box_of_area(row.box, lam[c.row], u, H, W);
    const double area = static_cast<double>(row.box[2] - row.box[0]) * (row.box[3] - row.box[1]);
    const double share = area / (static_cast<double>(H) * W);
    row.weight[0] = correct_lam ? static_cast<float>(1.0 - share) : lam[c.row];
    row.weight[1] = correct_lam ? static_cast<float>(share) : 1.0f - lam[c.row];
  }
  write(row, c.sample, mixed ? c.partner : c.sample, partner, weight, blend, box, shift);
}
