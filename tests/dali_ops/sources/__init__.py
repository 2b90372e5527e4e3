"""All of them need DALI: where it is missing, a second import of what failed once says something else."""

import pytest

pytest.importorskip("nvidia.dali")
