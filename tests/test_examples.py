"""The examples run as a newcomer runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nvidia.dali")
pytest.importorskip("skimage")

from dali_ops.photos import make_photo_folder

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments):
    done = subprocess.run([sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_embed_in_pipeline(tmp_path):
    out = run("embed_in_pipeline.py", make_photo_folder(tmp_path / "photos"))
    assert "images [8, 3, 224, 224] soft labels [8, 6]" in out


def test_two_lines_are_enough():
    """The example without its mixing line is an ordinary pipeline: the two lines that change stand side by side."""
    lines = (EXAMPLES / "embed_in_pipeline.py").read_text().splitlines()
    before = next(k for k, line in enumerate(lines) if "# before:" in line)
    assert "crop_mirror_normalize" in lines[before]
    assert "dali_ops.cutmix" in lines[before + 1]
    assert sum("dali_ops" in line for line in lines) == 2  # the import and the call
