// Runs CUDA kernels on the CPU: blocks one after another, the threads of a block as fibers that take turns.
//
// Test equipment. It knows what the kernels here use and no more: built-in indices, vectors, float16, shared memory
// of fixed size, atomicAdd, __syncthreads, warp shuffles, ballots and __syncwarp. A fiber runs until it reaches a
// barrier or ends, so a missing barrier shows as a wrong result as soon as the order of the threads changes.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <tuple>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

using std::max;
using std::min;

struct uint4 {
  unsigned x, y, z, w;
} __attribute__((aligned(16)));

struct uint2 {
  unsigned x, y;
};

struct int4 {
  int x, y, z, w;
} __attribute__((aligned(16)));

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};
inline Dim3 threadIdx, blockIdx, blockDim, gridDim;

inline int __float2int_rn(float v) { return static_cast<int>(std::nearbyint(v)); }
template <class To, class From>
To same_bits(From from) {
  To to;
  static_assert(sizeof to == sizeof from);
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline float __int_as_float(int v) { return same_bits<float>(v); }
inline float __uint_as_float(unsigned v) { return same_bits<float>(v); }
inline unsigned __float_as_uint(float v) { return same_bits<unsigned>(v); }
inline long long __double_as_longlong(double v) { return same_bits<long long>(v); }

inline int __popc(unsigned v) { return __builtin_popcount(v); }
using std::rint;
using std::sqrt;

namespace host {

constexpr int WARP = 32;
constexpr size_t STACK = 64 * 1024;

#ifdef __SANITIZE_ADDRESS__  // it knows of swapcontext, but takes a jump to another stack for an error
using Place = ucontext_t;
inline void change(Place& from, const Place& to) { swapcontext(&from, &to); }
inline void begin(Place& from, const ucontext_t& fresh, Place& to) { change(from, to = fresh); }
#else  // a fiftieth of the time: swapcontext asks the kernel for the signal mask
struct Place {
  jmp_buf at;
};
inline void change(Place& from, Place& to) {
  if (!_setjmp(from.at)) _longjmp(to.at, 1);
}
inline void begin(Place& from, const ucontext_t& fresh, Place&) {
  if (!_setjmp(from.at)) setcontext(&fresh);
}
#endif

struct Fiber {
  Place place;
  bool begun = false, done = false;
};

inline std::vector<Fiber> fibers;
inline char* stacks;  // STACK bytes for each, not cleared: that would take longer than most kernels
inline Place scheduler;
inline unsigned current;                              // linear index of the running thread
inline uint64_t exchanged[1024];                      // one slot per thread, for shuffles
inline std::vector<std::array<uint64_t, 2>> written;  // of 16 bytes, by __stcs: number of the thread, address
inline void (*body)();

inline void pass_on() { change(fibers[current].place, scheduler); }

inline void enter() {
  for (;;) {  // once for each block
    body();
    fibers[current].done = true;
    pass_on();
  }
}

// Lets the current thread run until it passes on.
inline void resume() {
  Fiber& fiber = fibers[current];
  if (fiber.begun) return change(scheduler, fiber.place);
  fiber.begun = true;
  ucontext_t fresh;
  getcontext(&fresh);
  fresh.uc_stack = {stacks + current * STACK, 0, STACK};
  makecontext(&fresh, enter, 0);
  begin(scheduler, fresh, fiber.place);
}

// order 0: by index; 1: backwards; n > 1: shuffled by seed n.
inline std::vector<unsigned> turns(unsigned count, unsigned order) {
  std::vector<unsigned> turn(count);
  std::iota(turn.begin(), turn.end(), 0u);
  if (order == 1) std::reverse(turn.begin(), turn.end());
  unsigned random = order;  // a linear congruential generator: <random> doubles the time to compile
  for (unsigned left = order > 1 ? count : 0; left > 1; --left) {
    random = random * 1664525u + 1013904223u;
    std::swap(turn[left - 1], turn[(random >> 8) % left]);
  }
  return turn;
}

inline void run_block(const std::vector<unsigned>& turn) {
  for (Fiber& fiber : fibers) fiber.done = false;
  for (bool alive = true; alive;) {  // one round per barrier
    alive = false;
    for (unsigned t : turn) {
      if (fibers[t].done) continue;
      current = t;
      threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
      resume();
      alive = alive || !fibers[t].done;
    }
  }
}

inline void run(const unsigned* grid, const unsigned* block, unsigned order, void (*kernel)()) {
  body = kernel;
  written.clear();
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  const unsigned count = block[0] * block[1] * block[2];
  fibers = std::vector<Fiber>(count);
  stacks = new char[count * STACK];
  const auto turn = turns(count, order);
  for (unsigned b : turns(grid[0] * grid[1] * grid[2], order)) {
    blockIdx = {b % grid[0], b / grid[0] % grid[1], b / (grid[0] * grid[1])};
    run_block(turn);
  }
  delete[] stacks;
}

// Kernel arguments as cuLaunchKernel takes them: an array of pointers to values.
inline void** arguments;
template <class... P>
void call(void (*kernel)(P...)) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<P>*>(arguments[I])...);
  }(std::index_sequence_for<P...>{});
}

// Every lane gives a value and reads another lane's. Two barriers: all have written, all have read.
template <class T>
T exchange(T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  std::memcpy(&exchanged[current], &value, sizeof value);
  pass_on();
  const unsigned warp = current / WARP * WARP;
  std::memcpy(&value, &exchanged[warp + from % WARP], sizeof value);
  pass_on();
  return value;
}

}  // namespace host

inline void __stcs(uint4* to, uint4 value) {
  const uint64_t block = blockIdx.x + gridDim.x * (blockIdx.y + static_cast<uint64_t>(gridDim.y) * blockIdx.z);
  host::written.push_back({block * host::fibers.size() + host::current, reinterpret_cast<uint64_t>(to)});
  *to = value;
}

template <class T>
T atomicAdd(T* at, T value) {  // threads take turns
  const T old = *at;
  *at += value;
  return old;
}
template <class T>
T atomicMax(T* at, T value) {
  const T old = *at;
  *at = std::max(old, value);
  return old;
}
template <class T>
T atomicMin(T* at, T value) {
  const T old = *at;
  *at = std::min(old, value);
  return old;
}
inline void __threadfence_system() {}
inline void __syncthreads() { host::pass_on(); }
inline void __syncwarp(unsigned = ~0u) { host::pass_on(); }
inline unsigned lane_of_this_thread() { return host::current % host::WARP; }

template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return host::exchange(value, lane);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return host::exchange(value, lane_of_this_thread() ^ mask);
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = lane_of_this_thread();
  return host::exchange(value, lane + delta < host::WARP ? lane + delta : lane);
}
template <class T>
T __shfl_up_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = lane_of_this_thread();
  return host::exchange(value, lane >= delta ? lane - delta : lane);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  host::exchanged[host::current] = predicate != 0;
  host::pass_on();
  const unsigned warp = host::current / host::WARP * host::WARP;
  unsigned votes = 0;
  for (unsigned lane = 0; lane < host::WARP; ++lane)
    votes |= static_cast<unsigned>(host::exchanged[warp + lane]) << lane;
  host::pass_on();
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
