// Sum of each block's 64 numbers: a tree in shared memory, a barrier at every level.
extern "C" __global__ void block_sum(const int* __restrict__ numbers, int* __restrict__ sums) {
  __shared__ int part[64];
  part[threadIdx.x] = numbers[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  for (int half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = part[0];
}
