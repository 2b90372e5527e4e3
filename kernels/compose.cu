// compose: paste, blend, mirror, normalise, cast and change layout in one pass over the pixels.
//
// Set by the launcher:
//   IN, OUT          element types, see dtype.cuh
//   IN_CHW, OUT_CHW  1 for planes (CHW), 0 for interleaved channels (HWC)
//   CHANNELS         C
//   GROUP            pixels per thread: 16 where rows are whole 16-byte chunks, else 1
//   THREADS          per block
//   NORMALISE        1 to apply scale and bias
//   MIRROR, TOKENS   1 if the argument of that name is given; otherwise it is not read
//   ERASE            1 to erase boxes by a value, 2 by noise; 0: what is said of them is not read
#include "dtype.cuh"
#include "group.cuh"
#include "noise.cuh"

using Source = Group<IN, IN_CHW, GROUP, CHANNELS>;
using Target = Layout<OUT_CHW, GROUP, CHANNELS>;
using In = IN::Store;
using Out = OUT::Store;

constexpr unsigned ALL = (1u << GROUP) - 1;
constexpr int WARP = 32;
constexpr int RUN = OUT_CHW ? GROUP : GROUP * CHANNELS;  // elements of a group that lie in a row
using Pack = Chunk<Out, lanes<Out, GROUP, RUN>()>;
constexpr int PACKS = RUN / Pack::SIZE;  // of a run

__device__ int clamp(int v, int low, int high) { return min(max(v, low), high); }

// Bits low .. high - 1.
__device__ unsigned bits(int low, int high) { return low < high ? (ALL >> (GROUP - (high - low))) << low : 0u; }

// Row r of a grid of g covers pixels floor(r * n / g) .. floor((r + 1) * n / g) - 1 of n; this is the row of a pixel.
__device__ int cell(int pixel, int n, int g) { return ((pixel + 1) * g - 1) / n; }

__device__ unsigned token_bits(const unsigned char* row, int x, int W, int grid_w) {
  if (cell(x, W, grid_w) == cell(x + GROUP - 1, W, grid_w)) return row[cell(x, W, grid_w)] ? ALL : 0u;
  unsigned shown = 0;
#pragma unroll
  for (int p = 0; p < GROUP; ++p) shown |= (row[cell(x + p, W, grid_w)] ? 1u : 0u) << p;
  return shown;
}

// Pixels x .. x + GROUP - 1 of row y of an image, as it looks after mirroring. A box that is shifted may start
// anywhere: then pixel by pixel, and only those in `shown`.
__device__ void load(Source& group, const In* image, bool flip, int y, int x, int H, int W, unsigned shown) {
  if (x % GROUP == 0 && x >= 0 && x + GROUP <= W && y >= 0 && y < H) {
    group.load(image, y, flip ? W - GROUP - x : x, H, W);
    if (flip) group.reverse();
    return;
  }
#pragma unroll
  for (int p = 0; p < GROUP; ++p) {
    if (!(shown >> p & 1)) continue;
    const int at = clamp(flip ? W - 1 - (x + p) : x + p, 0, W - 1);  // also a plan that is wrong reads no other memory
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c)
      group.set(p, c, image[Layout<IN_CHW, 1, CHANNELS>::offset(c, clamp(y, 0, H - 1), at, H, W)]);
  }
}

__device__ float normalised(float value, const float* scale, const float* bias, int c) {
  return NORMALISE ? value * scale[c] + bias[c] : value;
}

// `first`, or where BOTH, `second` at the pixels shown and keep * first + (1 - keep) * second at the others.
template <bool BOTH>
__device__ Out finished(const Source& first, const Source& second, unsigned shown, float keep, const float* scale,
                        const float* bias, int p, int c) {
  float value = first.get(p, c);
  if (BOTH) {
    const float other = second.get(p, c);
    const float mixed = keep == 1.0f ? value : keep * value + (1.0f - keep) * other;
    value = shown >> p & 1 ? other : mixed;
  }
  return OUT::from_float(normalised(value, scale, bias, c));
}

// Where a chunk waits in the tile: moved within 8 neighbours, so that the 8 lanes that access shared memory together
// find their chunks in different banks, though each lane's own lie side by side.
__device__ int slot(int chunk) { return chunk ^ (chunk >> 3 & 7); }

// What is erased of a group of pixels.
struct Erased {
  unsigned bits = 0;  // bit p: of pixel p
  uint2 key = {};     // of the image's noise
  int y = 0, x = 0;   // of the first pixel, in that image
  float value = 0;    // which is put there without noise
};

// Of pixels x .. x + GROUP - 1 of row y of an image.
__device__ Erased erased(const int* box, const unsigned* key, int boxes, float value, int image, int y, int x) {
  Erased of = {0, {key[2 * image], key[2 * image + 1]}, y, x, value};
  for (const int *b = box + 4 * image * boxes, *end = b + 4 * boxes; b < end; b += 4)
    if (b[0] <= y && y < b[2]) of.bits |= bits(clamp(b[1], x, x + GROUP) - x, clamp(b[3], x, x + GROUP) - x);
  return of;
}

// What channel c of pixels start .. start + N - 1 of the group is, where it is erased.
template <int N>
__device__ void fill(const Erased& of, unsigned wanted, int start, int c, float (&to)[N]) {
  if (ERASE == 2 && wanted) return noise(of.key, of.x + start, of.y, c, to);
#pragma unroll
  for (int n = 0; n < N; ++n) to[n] = of.value;
}

// Puts what is erased into the chunks of this lane in the tile, those of a run that begins with item `run`. It is mixed
// after normalising, since the noise is standard normal then.
template <bool BOTH>
__device__ void erase(const Source& first, const Source& second, const Erased& of_first, const Erased& of_second,
                      unsigned shown, float keep, const float* scale, const float* bias, int run, Pack::Raw* tile) {
  constexpr int N = GROUP < BLOCK ? GROUP : BLOCK;
  const unsigned own = of_first.bits & ~shown, other = BOTH ? of_second.bits & (keep == 1.0f ? shown : ALL) : 0u;
#pragma unroll
  for (int c = OUT_CHW ? run / GROUP : 0; c < (OUT_CHW ? run / GROUP + 1 : CHANNELS); ++c)
#pragma unroll
    for (int start = 0; start < GROUP; start += N) {
      const unsigned of_own = own >> start & (ALL >> (GROUP - N)), of_other = other >> start & (ALL >> (GROUP - N));
      if (!(of_own | of_other)) continue;
      float one[N], two[N];
      fill(of_first, of_own, start, c, one);
      if (BOTH) fill(of_second, of_other, start, c, two);
#pragma unroll
      for (int n = 0; n < N; ++n) {
        if (!((of_own | of_other) >> n & 1)) continue;
        const int p = start + n, at = Target::item(p, c) - run;
        float value = of_own >> n & 1 ? one[n] : normalised(first.get(p, c), scale, bias, c);
        if (BOTH) {
          const float giver = of_other >> n & 1 ? two[n] : normalised(second.get(p, c), scale, bias, c);
          const float mixed = keep == 1.0f ? value : keep * value + (1.0f - keep) * giver;
          value = shown >> p & 1 ? giver : mixed;
        }
        Pack::Raw& chunk = tile[slot(static_cast<int>(threadIdx.x) % WARP * PACKS + at / Pack::SIZE)];
        Pack pack = Pack::of(chunk);
        pack.set(at % Pack::SIZE, OUT::from_float(value));
        chunk = pack.raw();
      }
    }
}

// Stores the groups of a warp: all its lanes must come here together. `count` of them have a group, the first at pixel
// `start`, and the groups lie one after another in memory. Each lane holds several chunks that are neighbours: written
// by itself, a store of the warp would fill every other 16 bytes, or fewer. Through `tile` they change lanes, so that
// each store of the warp fills 512 bytes in a row.
template <bool BOTH>
__device__ void store(Out* image, const Source& first, const Source& second, const Erased& of_first,
                      const Erased& of_second, unsigned shown, float keep, const float* scale, const float* bias,
                      int start, int count, int H, int W, Pack::Raw* tile) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int run = 0; run < Target::size; run += RUN) {
    Out* to = image + Target::offset(run, 0, 0, H, W) + static_cast<long long>(start) * (RUN / GROUP);
#pragma unroll
    for (int k = 0; k < PACKS; ++k) {
      Pack pack;
#pragma unroll
      for (int n = 0; n < Pack::SIZE; ++n) {
        const int item = run + k * Pack::SIZE + n, p = Target::pixel(item), c = Target::channel(item);
        pack.set(n, finished<BOTH>(first, second, shown, keep, scale, bias, p, c));
      }
      tile[slot(lane * PACKS + k)] = pack.raw();
    }
    if (ERASE) erase<BOTH>(first, second, of_first, of_second, shown, keep, scale, bias, run, tile);
    __syncwarp();
#pragma unroll
    for (int k = lane; k < WARP * PACKS; k += WARP)
      if (k < count * PACKS) Pack::store(to + k * Pack::SIZE, tile[slot(k)]);
    __syncwarp();
  }
}

// Grid: x over the groups of an image, y over the samples.
extern "C" __global__ void compose(const In* __restrict__ images,             // [B, H, W, C] or [B, C, H, W]
                                   const int* __restrict__ partner,           // [B]
                                   const float* __restrict__ blend,           // [B]
                                   const int* __restrict__ box,               // [B, 4] (y0, x0, y1, x1)
                                   const int* __restrict__ shift,             // [B, 2] (dy, dx)
                                   const unsigned char* __restrict__ tokens,  // [B, grid_h, grid_w]
                                   const int* __restrict__ mirror,            // [B]
                                   const float* __restrict__ scale,           // [C]
                                   const float* __restrict__ bias,            // [C]
                                   const int* __restrict__ erase_box,       // [B, boxes, 4], of every image as mirrored
                                   const unsigned* __restrict__ erase_key,  // [B, 2]
                                   int boxes, float erase_value, int H, int W, int grid_h, int grid_w,
                                   Out* __restrict__ output) {  // [B, H, W, C] or [B, C, H, W]
  const int i = blockIdx.y, last = static_cast<int>(gridDim.y) - 1;
  const int j = clamp(partner[i], 0, last);  // a plan that is wrong stays within the batch, and below within the image
  const int per_row = W / GROUP, groups = H * per_row;
  const int start = blockIdx.x * THREADS + threadIdx.x / WARP * WARP;  // of the warp
  const int group = min(start + static_cast<int>(threadIdx.x) % WARP, groups - 1);
  const int y = group / per_row, x = group % per_row * GROUP;

  unsigned shown = 0;  // bit p: pixel x + p comes from the partner
  if (box[4 * i] <= y && y < box[4 * i + 2])
    shown = bits(clamp(box[4 * i + 1], x, x + GROUP) - x, clamp(box[4 * i + 3], x, x + GROUP) - x);
  if (TOKENS)
    shown |= token_bits(tokens + (static_cast<long long>(i) * grid_h + cell(y, H, grid_h)) * grid_w, x, W, grid_w);

  const long long pixels = static_cast<long long>(CHANNELS) * H * W;
  const float keep = blend[i];
  const bool moved = keep == 1.0f;  // what is blended stays in its place
  const int dy = moved ? clamp(shift[2 * i], -H, H) : 0, dx = moved ? clamp(shift[2 * i + 1], -W, W) : 0;
  const bool flip_i = MIRROR && mirror[i] != 0, flip_j = MIRROR && mirror[j] != 0;

  // A group that lies wholly in the partner is read from the partner alone; most others from image i alone.
  const bool covered = shown == ALL;
  const bool both = !covered && (shown || keep != 1.0f);
  Source first = {}, second = {};
  const int shown_y = y + dy, shown_x = x + dx;  // where the partner is read
  load(first, images + (covered ? j : i) * pixels, covered ? flip_j : flip_i, covered ? shown_y : y,
       covered ? shown_x : x, H, W, ALL);
  if (both) load(second, images + j * pixels, flip_j, shown_y, shown_x, H, W, shown);
  Erased of_first, of_second;
  if (ERASE) {
    of_second = erased(erase_box, erase_key, boxes, erase_value, j, shown_y, shown_x);
    of_first = covered ? of_second : erased(erase_box, erase_key, boxes, erase_value, i, y, x);
  }

  __shared__ Pack::Raw tiles[THREADS / WARP][WARP * PACKS];
  Pack::Raw* tile = tiles[threadIdx.x / WARP];
  Out* image = output + i * pixels;
  const int count = min(groups - start, WARP);
  if (__any_sync(~0u, both))  // one way for the whole warp, since its lanes store together
    store<true>(image, first, second, of_first, of_second, covered ? 0u : shown, covered ? 1.0f : keep, scale, bias,
                start * GROUP, count, H, W, tile);
  else
    store<false>(image, first, second, of_first, of_second, 0u, 1.0f, scale, bias, start * GROUP, count, H, W, tile);
}
