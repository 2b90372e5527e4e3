// Every thread of a grid of any shape writes its index; none may be left out or run twice.
extern "C" __global__ void where_am_i(int* __restrict__ visits) {
  const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  visits[block * (blockDim.x * blockDim.y * blockDim.z) + thread] += 1;
}
