"""What several planners need: the same functions as kernels/include has for CUDA."""
