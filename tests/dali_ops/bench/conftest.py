"""What is timed in tests."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.project.benchmarks import BATCH, SIZE


@pytest.fixture
def source(root: Path) -> Any:
    from dali_ops.sources import ImageFolder

    return ImageFolder.scan(root)


@pytest.fixture
def setting(source: Any) -> Any:
    from dali_ops.bench.throughput import Setting

    return Setting(source, "cpu", BATCH, 2, SIZE)
