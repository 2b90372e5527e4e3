"""Names of tests that are the same in every process, as pytest-xdist needs them."""

from __future__ import annotations

import re
from typing import Any


def text(value: Any) -> str:
    """What `str` makes of a value, on one line and without the address of an object."""
    return " ".join(re.sub(r" at 0x[0-9a-fA-F]+", "", str(value)).split())
