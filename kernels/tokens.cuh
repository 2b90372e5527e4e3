// A grid of tokens over an image.
#pragma once

// Row r of a grid of g covers pixels floor(r * n / g) .. floor((r + 1) * n / g) - 1 of n.
__device__ int pixels_of(int r, int n, int g) { return (r + 1) * n / g - r * n / g; }
