// Copies as many numbers as there are threads, whether or not there are as many.
extern "C" __global__ void unchecked_copy(const int* __restrict__ numbers, int* __restrict__ output) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  output[at] = numbers[at];
}
