"""dali_ops.stores: what reaches DALI and the provider, and what is refused so that nothing is lost."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dali_ops import stores as heatmap_builder
from tests.support.data import noise_folder
from tests.support.data.noise_folder import NAMES, brightness, build, by_place, contents

root = noise_folder.root


@pytest.mark.parametrize("grid", [2, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_batches_before_one_that_is_not_finite_are_kept(root: Path, tmp_path: Path, value: float, grid: int) -> None:
    whole = contents(build(root, tmp_path / "whole", grid=grid).path)
    calls = []

    def provider(images: Any) -> Any:
        calls.append(1)
        maps = brightness(images)
        if len(calls) == 3:
            maps[1, 3, 2] = value
        return maps

    told: list[int] = []
    with pytest.raises(ValueError, match=f"^the heatmap of '{NAMES[9]}' has NaN or infinite values$") as refused:
        build(root, tmp_path / "store", provider, grid=grid, advance=told.append)
    assert refused.value.__context__ is None
    assert told == [0, 4, 4]
    build(root, tmp_path / "store", grid=grid, advance=told.append)
    assert told == [0, 4, 4, 8, 3]
    assert contents(tmp_path / "store") == whole


@pytest.mark.parametrize(("said", "cores", "used"), [(3, 64, 3), (12, 4, 12), (None, 64, 8), (None, 5, 5)])
def test_threads_of_dali(root, tmp_path, monkeypatch, said, cores, used):
    threads, make = [], heatmap_builder._pipeline

    def watched(*feed: Any, **options: Any) -> Any:
        pipeline = make(*feed, **options)
        threads.append(pipeline.num_threads)
        return pipeline

    monkeypatch.setattr(heatmap_builder, "_pipeline", watched)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(cores))
    build(root, tmp_path / "store", num_threads=said)
    assert threads == [used]


@pytest.mark.parametrize("size", [(48, 20), (20, 48), (10, 12), (32, 32)])
def test_the_provider_gets_squares(tmp_path: Path, size: tuple[int, int]) -> None:
    """Whatever the shape of an image, and be it smaller or larger."""
    (tmp_path / "images" / "only").mkdir(parents=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "images" / "only" / "0.png")
    shapes = []
    build(tmp_path / "images", tmp_path / "store", lambda x: (shapes.append(list(x.shape)), brightness(x))[1], size=32)
    assert shapes
    assert all(shape[1:] == [3, 32, 32] for shape in shapes)


@pytest.mark.parametrize("inside", ["store", ".", "c/store", "c/../new/store", "../link/store"])
def test_a_store_inside_of_the_image_folder_is_refused(root: Path, tmp_path: Path, inside: str) -> None:
    """It would be one more class, without images."""
    (tmp_path / "link").symlink_to(root)
    before = sorted(tmp_path.rglob("*"))
    said = f"the store must lie outside of the image folder {root}, whose folders are classes; got {root / inside}"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        build(root, root / inside)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_beside_the_image_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for path in (root.with_name("images-heatmaps"), Path("../relative"), root / ".." / "a" / "store"):
        assert len(build(root, path, by_place)) == len(NAMES)
