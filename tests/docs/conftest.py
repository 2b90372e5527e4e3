"""Where the code of a page runs: a temporary folder with what the pages name."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with small images under the names that the pages have for a reader's own."""
    from tests.support.data.coloured import coloured_folder

    images = coloured_folder(tmp_path / "coloured")
    here = tmp_path / "here"
    for name in ("imagenet/train", "imagenet/val", "path/to/images"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).symlink_to(images, target_is_directory=True)
    monkeypatch.chdir(here)
    return here
