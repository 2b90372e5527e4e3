"""For `pytest -p without_pool`: CuPy asks the driver for every array, so that compute-sanitizer sees where it ends."""

import cupy

cupy.cuda.set_allocator(None)
