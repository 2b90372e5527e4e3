"""All of them need DALI, most in a process of its own."""

import pytest

pytest.importorskip("nvidia.dali")
