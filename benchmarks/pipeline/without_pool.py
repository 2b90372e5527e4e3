"""For `pytest -p benchmarks.pipeline.without_pool`: CuPy takes no memory from its pool.

It asks the driver for every array, so that compute-sanitizer sees where it ends.
"""

import cupy

cupy.cuda.set_allocator(None)
