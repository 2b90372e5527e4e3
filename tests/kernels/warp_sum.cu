// What one warp's lanes can tell each other. One block of whole warps.
extern "C" __global__ void warp_sum(const int* __restrict__ numbers,
                                    int* __restrict__ total,        // of the warp, in every lane
                                    int* __restrict__ tail,         // from this lane to the last
                                    int* __restrict__ head,         // from the first lane to this one
                                    unsigned* __restrict__ odds,    // bit n: the number of lane n is odd
                                    int* __restrict__ of_lane_5) {  // its number
  const unsigned everyone = 0xffffffffu;
  const int at = threadIdx.x, lane = at % 32;
  int sum = numbers[at], right = numbers[at], left = numbers[at];
  for (int step = 1; step < 32; step *= 2) {
    sum += __shfl_xor_sync(everyone, sum, step);
    const int from_right = __shfl_down_sync(everyone, right, step);
    if (lane + step < 32) right += from_right;
    const int from_left = __shfl_up_sync(everyone, left, step);
    if (lane >= step) left += from_left;
  }
  total[at] = sum;
  tail[at] = right;
  head[at] = left;
  odds[at] = __ballot_sync(everyone, numbers[at] & 1);
  of_lane_5[at] = __shfl_sync(everyone, numbers[at], 5);
}
