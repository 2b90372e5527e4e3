"""Where the parts of the project lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
EXAMPLES = ROOT / "examples"
TEST_KERNELS = ROOT / "tests" / "kernels"  # the .cu files that only tests run
