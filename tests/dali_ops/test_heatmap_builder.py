"""dali_ops.stores: what is in a store that was made from a folder, however it was stopped in between."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dali_ops import stores as heatmap_builder
from dali_ops.sources import ImageFolder
from dali_ops.stores import build_store
from dalimix.stores import HeatmapWriter
from tests.support.backends import device_fixture
from tests.support.data import noise_folder
from tests.support.data.noise_folder import (
    COUNT,
    LABELS,
    NAMES,
    SIDE,
    brightness,
    build,
    by_place,
    contents,
    interrupting,
    pictures,
)

device = device_fixture("gpu")


root = noise_folder.root


def kept(heatmap: np.ndarray, dtype: str) -> list[list[float]]:
    """A map as a store keeps it, by Python's numbers."""
    largest = float(heatmap.max())
    as_kept = (lambda v: round(v / largest * 255)) if dtype == "uint8" else (lambda v: float(np.float16(v / largest)))
    return [[as_kept(float(value)) for value in row] for row in heatmap]


def sums(pixels: np.ndarray, grid: int) -> np.ndarray:
    """Float64 [grid, grid]: the mean of `brightness` over the cells of a grid that divides 4."""
    cells = [[pixels[y : y + 4, x : x + 4].sum(dtype=np.int64) for x in range(0, SIDE, 4)] for y in range(0, SIDE, 4)]
    step = 4 // grid
    rows = range(0, 4, step)
    return np.array([[np.mean([r[x : x + step] for r in cells[y : y + step]]) for x in rows] for y in rows])


@pytest.mark.parametrize("batch_size", [1, 4, 11, 16])
@pytest.mark.parametrize(("grid", "dtype"), [(4, "uint8"), (4, "float16"), (2, "uint8")])
def test_maps_are_those_of_the_decoded_images(device, root, tmp_path, grid, dtype, batch_size):
    store = build(root, tmp_path / "store", grid=grid, dtype=dtype, batch_size=batch_size, device=device)
    assert store.maps.tolist() == [kept(sums(pixels, grid), dtype) for pixels in pictures()]
    assert (store.files, store.grid, store.dtype, store.model) == (NAMES, grid, dtype, "sums")
    assert store.path == tmp_path / "store"


@pytest.mark.parametrize("upright", [False, True])
def test_the_whole_image_is_seen(tmp_path: Path, upright: bool) -> None:
    """The outer sixths of a long image are bright: a crop to a square would lose them."""
    pixels = np.zeros((48, 288, 3), np.uint8)
    pixels[:, :48] = pixels[:, -48:] = 200
    (tmp_path / "images" / "only").mkdir(parents=True)
    Image.fromarray(pixels.swapaxes(0, 1) if upright else pixels).save(tmp_path / "images" / "only" / "0.png")
    heatmap = build(tmp_path / "images", tmp_path / "store", lambda x: x[:, 0].float(), grid=6, size=24).maps[0]
    heatmap = heatmap.T if upright else heatmap
    assert heatmap[:, 0].min() > 240
    assert heatmap[:, 5].min() > 240
    assert heatmap[:, 1:5].max() < 15


def test_labels_are_handed_in(device: str, root: Path, tmp_path: Path) -> None:
    def provider(images: Any, labels: Any) -> Any:
        assert labels.dtype == torch.int64
        assert labels.shape == (len(images),)
        return torch.nn.functional.one_hot(labels, 4).view(-1, 2, 2).to(images.device)

    options = {"grid": 2, "labelled": True, "device": device}
    with pytest.raises(KeyboardInterrupt):
        build(root, tmp_path / "store", provider, advance=interrupting(2), **options)
    store = build(root, tmp_path / "store", provider, **options)
    assert store.maps.reshape(COUNT, 4).argmax(1).tolist() == LABELS
    assert build(root, tmp_path / "other", lambda *inputs: brightness(*inputs), device=device)  # images alone


def test_images_come_as_bytes_and_pixels_in_order(root: Path, tmp_path: Path) -> None:
    seen = []
    build(root, tmp_path / "store", lambda images: (seen.append(images.clone()), brightness(images))[1])
    np.testing.assert_array_equal(torch.cat(seen)[:COUNT].permute(0, 2, 3, 1).numpy(), pictures())


def test_shards_are_whole_batches(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, told = [], []
    append = HeatmapWriter.append
    monkeypatch.setattr(HeatmapWriter, "append", lambda self, maps: (sizes.append(len(maps)), append(self, maps)))
    for shard in (1, 9, 8):
        monkeypatch.setattr(heatmap_builder, "SHARD", shard)
        build(root, tmp_path / str(shard), advance=told.append)
        build(root, tmp_path / f"{shard}-3", batch_size=3)
    assert sizes == [4, 4, 3, 3, 3, 3, 2, 8, 3, 9, 2, 8, 3, 6, 5]
    assert told == [0, 4, 4, 3] * 3


def test_an_unreadable_image_is_named_and_can_be_repaired(root: Path, tmp_path: Path) -> None:
    whole = contents(build(root, tmp_path / "whole", by_place).path)
    good, told = (root / NAMES[6]).read_bytes(), []
    (root / NAMES[6]).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=rf"{root / NAMES[6]} cannot be decoded as an image"):
        build(root, tmp_path / "store", by_place, advance=told.append)
    assert told == [0, 4]
    (root / NAMES[6]).write_bytes(good)
    build(root, tmp_path / "store", by_place, advance=told.append)
    assert told == [0, 4, 4, 4, 3]
    assert contents(tmp_path / "store") == whole


def test_a_file_that_went_missing_is_named(root: Path, tmp_path: Path) -> None:
    folder = ImageFolder.scan(root)
    (root / NAMES[9]).unlink()
    with pytest.raises(ValueError, match=rf"{root / NAMES[9]} is missing"):
        build_store(folder, brightness, tmp_path / "store", grid=4, model="sums", size=SIDE, batch_size=3)


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_interrupted_and_gone_on_with(root: Path, tmp_path: Path, times: int) -> None:
    whole = contents(build(root, tmp_path / "whole", by_place).path)
    with pytest.raises(KeyboardInterrupt):
        build(root, tmp_path / "store", by_place, advance=interrupting(times))
    told: list[int] = []
    build(root, tmp_path / "store", by_place, advance=told.append)
    assert told[0] == [0, 4, 8, 11][times - 1]
    assert contents(tmp_path / "store") == whole


@pytest.mark.parametrize("before", [False, True])
def test_interrupted_while_writing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    """No map is lost or written twice, be it that the interrupt comes just before or just after."""
    whole = contents(build(root, tmp_path / "whole", by_place).path)
    append, calls = HeatmapWriter.append, []

    def interrupted(self: HeatmapWriter, heatmaps: np.ndarray) -> None:
        calls.append(len(heatmaps))
        if before and len(calls) == 1:
            raise KeyboardInterrupt
        append(self, heatmaps)
        if not before and len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(HeatmapWriter, "append", interrupted)
    monkeypatch.setattr(heatmap_builder, "SHARD", 4)
    with pytest.raises(KeyboardInterrupt):
        build(root, tmp_path / "store", by_place)
    assert calls == ([4, 4] if before else [4])
    build(root, tmp_path / "store", by_place)
    assert contents(tmp_path / "store") == whole


def test_all_maps_there_but_not_finished(root: Path, tmp_path: Path) -> None:
    whole = contents(build(root, tmp_path / "whole").path)
    with HeatmapWriter(tmp_path / "store", NAMES, 4, model="sums") as writer:
        writer.append(brightness(torch.from_numpy(pictures()).permute(0, 3, 1, 2)).numpy())
    told: list[int] = []
    build(root, tmp_path / "store", lambda images: pytest.fail("called"), advance=told.append)
    assert told == [COUNT]
    assert contents(tmp_path / "store") == whole


@pytest.mark.parametrize("other", [{"grid": 2}, {"model": "another"}, {"dtype": "float16"}])
def test_another_store_is_not_gone_on_with(root: Path, tmp_path: Path, other: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(root, tmp_path / "store", advance=interrupting(2))
    before = contents(tmp_path / "store.part")
    (name,) = other
    with pytest.raises(ValueError, match=f"store.part is a store of {name} .* got "):
        build(root, tmp_path / "store", **other)
    (root / "a b" / "0.png").rename(root / "a b" / "new.png")
    with pytest.raises(ValueError, match=r"store.part has 'a b/0.png' as files\[0\], expected 'a b/1.png'"):
        build(root, tmp_path / "store")
    assert contents(tmp_path / "store.part") == before
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("wrong", ["raises", "shape", "nan"])
def test_a_provider_that_fails(root: Path, tmp_path: Path, wrong: str) -> None:
    calls = []

    def provider(images: Any) -> Any:
        calls.append(1)
        if len(calls) == 2 and wrong == "raises":
            raise OverflowError("no such\nthing")
        maps = brightness(images)
        if len(calls) == 2 and wrong == "nan":
            maps[1, 0, 0] = float("nan")
        return maps[0] if len(calls) == 2 and wrong == "shape" else maps

    from_here = rf"no heatmaps of the 4 images from {root / NAMES[4]} on: "
    reason = {
        "raises": from_here + "OverflowError: no such thing$",
        "shape": from_here + r"ValueError: provider must return a tensor \[4, h, w\], got \[4, 4\]",
        "nan": f"the heatmap of '{NAMES[5]}' has NaN",
    }[wrong]
    with pytest.raises(ValueError, match=reason):
        build(root, tmp_path / "store", provider)
    told: list[int] = []
    store = build(root, tmp_path / "store", advance=told.append)
    assert told == [4, 4, 3]
    assert store.maps.tolist() == [kept(sums(x, 4), "uint8") for x in pictures()]


def test_arguments_out_of_range(root: Path, tmp_path: Path) -> None:
    for name in ("size", "batch_size", "num_threads"):
        for wrong in (0, -1, 2.5, True, "x"):
            with pytest.raises(ValueError, match=f"{name} must be a whole number from 1, got {wrong!r}"):
                build(root, tmp_path / "store", **{name: wrong})
    with pytest.raises(ValueError, match="device must be 'cpu' or 'gpu', got 'tpu'"):
        build(root, tmp_path / "store", device="tpu")
    assert sorted(tmp_path.iterdir()) == [root]


def test_names_of_a_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "c" / "deep").mkdir()
    (root / "c" / "deep" / "er.jpg").touch()
    names = [*NAMES, "c/deep/er.jpg"]
    monkeypatch.chdir(root)
    for way in (root, f"{root}/", ".", "./", "../images", Path()):
        folder = ImageFolder.scan(way)
        assert folder.names == names
        assert folder.root == Path(way)
        assert [Path(file).resolve() for file in folder.files] == [root / name for name in names]
    picked = ImageFolder.scan(root).picked([3, 1])
    assert picked.names == [names[3], names[1]]
    assert [f"{picked.root}/{name}" for name in picked.names] == picked.files
