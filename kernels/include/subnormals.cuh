// Numbers that are no normal float32 count as 0, because CuPy has GPUs flush them, and the CPU must give the same.
#pragma once

__device__ double normal(double v) { return fabs(v) < 1.17549435082228751e-38 ? 0.0 : v; }
