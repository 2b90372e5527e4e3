// What every planner shares: who is mixed with whom, whose random numbers decide, and the row of the plan.
#pragma once

// The numbers of dalimix.methods.base.
enum Pairing { RANDOM = 0, FLIP = 1, ROLL = 2 };
enum Per { SAMPLE = 0, PAIR = 1, BATCH = 2 };

struct Couple {
  int sample;   // the image that receives
  int partner;  // the image that gives
  int row;      // the row of the draws that decides for it
};

// An image of the batch, also where a permutation names none: nobody can say here that it is wrong.
__device__ int within(int image, int B) { return min(max(image, 0), B - 1); }

// Thread `at` of `B`. For mutual random pairs, neighbours in the permutation become partners: thread `at` then
// plans image permutation[at], so that no thread has to search its own place.
__device__ Couple couple(const int* permutation, int at, int B, int pairing, int per) {
  Couple c;
  c.sample = at;
  if (pairing == FLIP) {
    c.partner = B - 1 - at;
  } else if (pairing == ROLL) {
    c.partner = at == 0 ? B - 1 : at - 1;
  } else if (per == PAIR) {
    c.sample = within(permutation[at], B);
    c.partner = within(permutation[(at ^ 1) < B ? at ^ 1 : at], B);
  } else {
    c.partner = within(permutation[at], B);
  }
  c.row = per == BATCH ? 0 : per == PAIR ? min(c.sample, c.partner) : c.sample;
  return c;
}

// One row of the plan; as it is built, the row of an image that stays as it is.
struct Row {
  float weight[2] = {1.0f, 0.0f};
  float blend = 1.0f;
  int box[4] = {0, 0, 0, 0};
  int shift[2] = {0, 0};
};

// The last column of `uniform` decides whether an image is mixed at all.
__device__ bool mixes(const Couple& c, const float* uniform, int columns, double prob) {
  return c.partner != c.sample && uniform[c.row * columns + columns - 1] < prob;
}

// floor(u * n) for u in [0, 1), in float64 so that no rounding reaches n; for any other u, NaN too, one of 0 .. n - 1.
__device__ int below(float u, int n) { return static_cast<int>(fmin(fmax(static_cast<double>(u) * n, 0.0), n - 1.0)); }

// 1 - lambda, in [0, 1] for any lambda; 0 if that is NaN.
__device__ double other_share(float lam) { return fmin(fmax(1.0 - static_cast<double>(lam), 0.0), 1.0); }

__device__ void write(const Row& row, int sample, int partner, int* out_partner, float* weight, float* blend, int* box,
                      int* shift) {
  out_partner[sample] = partner;
  blend[sample] = row.blend;
  for (int k = 0; k < 2; ++k) weight[2 * sample + k] = row.weight[k];
  for (int k = 0; k < 4; ++k) box[4 * sample + k] = row.box[k];
  for (int k = 0; k < 2; ++k) shift[2 * sample + k] = row.shift[k];
}
