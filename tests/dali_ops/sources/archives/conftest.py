"""What tests of archives share."""

from pathlib import Path

import pytest

from tests.support.data.archives import COUNT, sample, write_shard


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Samples 000 to 004, of classes 0, 1, 2, 0, 1."""
    return write_shard(tmp_path / "a.tar", map(sample, range(COUNT)))
