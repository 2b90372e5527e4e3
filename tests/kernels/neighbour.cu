// Each thread reads what the thread before it wrote. BARRIER 0 leaves out the barrier that this needs.
extern "C" __global__ void neighbour(const int* __restrict__ numbers, int* __restrict__ output) {
  __shared__ int tile[64];
  tile[threadIdx.x] = numbers[threadIdx.x];
#if BARRIER
  __syncthreads();
#endif
  output[threadIdx.x] = threadIdx.x == 0 ? 0 : tile[threadIdx.x - 1];
}
