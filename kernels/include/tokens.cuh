// A grid of tokens over an image.
#pragma once

// Row r of a grid of g covers pixels floor(r * n / g) .. floor((r + 1) * n / g) - 1 of n.
__device__ int first_pixel(int r, int n, int g) { return r * n / g; }
__device__ int pixels_of(int r, int n, int g) { return first_pixel(r + 1, n, g) - first_pixel(r, n, g); }
