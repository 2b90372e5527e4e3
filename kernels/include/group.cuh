// A group: N consecutive pixels of one image row, all channels, held in the registers of one thread.
// Memory is read and written in chunks of 16 bytes where N allows it, element by element where not.
#pragma once

// Where the elements of a group lie. CHW: one run of N elements per plane. HWC: one run of N * C.
template <bool CHW, int N, int C>
struct Layout {
  static constexpr int size = N * C;
  static __host__ __device__ constexpr int item(int pixel, int channel) {
    return CHW ? channel * N + pixel : pixel * C + channel;
  }
  static __host__ __device__ constexpr int pixel(int item) { return CHW ? item % N : item / C; }
  static __host__ __device__ constexpr int channel(int item) { return CHW ? item / N : item % C; }
  // Offset of an item of the group that starts at pixel (y, x) of an [H, W] image.
  static __device__ long long offset(int item, int y, int x, int H, int W) {
    const long long plane_row = CHW ? static_cast<long long>(item / N) * H + y : y;
    return CHW ? plane_row * W + x + item % N : (plane_row * W + x) * C + item;
  }
};

// What one access to memory moves: 16 bytes of elements, packed into four registers, or a single element.
// T is an unsigned integer.
template <class T, int LANES>
struct Chunk {
  static constexpr int SIZE = LANES, BITS = 8 * sizeof(T), PER_WORD = 4 / sizeof(T);
  static constexpr unsigned MASK = ~0u >> (32 - BITS);
  using Raw = uint4;
  unsigned word[4] = {};

  __device__ T get(int lane) const { return word[lane / PER_WORD] >> lane % PER_WORD * BITS & MASK; }
  __device__ void set(int lane, T value) {
    const int at = lane % PER_WORD * BITS;
    unsigned& w = word[lane / PER_WORD];
    w = (w & ~(MASK << at)) | static_cast<unsigned>(value) << at;
  }
  __device__ void load(const T* from) {
    const uint4 quad = *reinterpret_cast<const uint4*>(from);
    word[0] = quad.x, word[1] = quad.y, word[2] = quad.z, word[3] = quad.w;
  }
  __device__ Raw raw() const { return {word[0], word[1], word[2], word[3]}; }
  static __device__ Chunk of(Raw raw) { return {{raw.x, raw.y, raw.z, raw.w}}; }
  static __device__ void store(T* to, Raw raw) {
    __stcs(reinterpret_cast<uint4*>(to), raw);  // one access; evicted first, for nobody here reads it again
  }
};

template <class T>
struct Chunk<T, 1> {
  static constexpr int SIZE = 1;
  using Raw = T;
  T item = {};
  __device__ T get(int) const { return item; }
  __device__ void set(int, T value) { item = value; }
  __device__ void load(const T* from) { item = *from; }
  __device__ Raw raw() const { return item; }
  static __device__ Chunk of(Raw raw) { return {raw}; }
  static __device__ void store(T* to, Raw raw) { *to = raw; }
};

// How many elements of a run travel together: 16 bytes of them, or one where a run is no multiple of 16 bytes. Single
// pixels are what images that do not start at a multiple of 16 bytes are read by.
template <class T, int N, int RUN>
__host__ __device__ constexpr int lanes() {
  return N > 1 && RUN * sizeof(T) % 16 == 0 ? 16 / sizeof(T) : 1;
}

template <class Type, bool CHW, int N, int C>
struct Group {
  using T = typename Type::Store;
  using L = Layout<CHW, N, C>;
  static constexpr int LANES = lanes<T, N, CHW ? N : N * C>();
  Chunk<T, LANES> chunk[L::size / LANES];

  __device__ float get(int pixel, int channel) const { return Type::to_float(item(L::item(pixel, channel))); }
  __device__ T item(int k) const { return chunk[k / LANES].get(k % LANES); }
  __device__ void set(int pixel, int channel, T value) {
    const int k = L::item(pixel, channel);
    chunk[k / LANES].set(k % LANES, value);
  }

  __device__ void load(const T* image, int y, int x, int H, int W) {
#pragma unroll
    for (int k = 0; k < L::size; k += LANES) chunk[k / LANES].load(image + L::offset(k, y, x, H, W));
  }

  __device__ void reverse() {
    const Group old = *this;
#pragma unroll
    for (int p = 0; p < N; ++p)
#pragma unroll
      for (int c = 0; c < C; ++c) set(p, c, old.item(L::item(N - 1 - p, c)));
  }
};
