"""Images that cannot be decoded: a store of heatmaps leaves them out, says so, and is read with that in mind."""

import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from dali_ops.cli import main as cli
from dali_ops.sheets.preview import preview
from dali_ops.sources import ImageFolder
from dalimix import CutMix, TokenMix
from dalimix.stores import HeatmapStore, HeatmapWriter
from tests.support.data.noise_folder import (
    COUNT,
    NAMES,
    SIDE,
    brightness,
    build,
    by_place,
    contents,
    image_folder,
    interrupting,
    pictures,
)
from tests.support.loaders import load
from tests.support.models.modules import modules_here
from tests.support.same import same

BAD = [3, 4, 5, 6, 7, 10]  # the end of a batch of four, all of the next one, and the last image
LEFT_OUT, KEPT = ([name for k, name in enumerate(NAMES) if (k in BAD) == bad] for bad in (True, False))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Of eleven images, of which six cannot be decoded."""
    root = image_folder(tmp_path / "images")
    for k in BAD:
        (root / NAMES[k]).write_bytes(b"no picture" if k % 2 else (root / NAMES[k]).read_bytes()[:70])
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a module of a model."""
    model = "def teacher():\n    return lambda images: images.float().mean(1)[:, ::2, ::2]"
    modules_here(tmp_path, monkeypatch, bright=model)
    return tmp_path


def test_they_are_left_out_and_all_others_are_there(root: Path, tmp_path: Path) -> None:
    told: list[int] = []
    store = build(root, tmp_path / "store", skip_corrupt=True, advance=told.append)
    assert (store.files, store.left_out) == (KEPT, LEFT_OUT)
    assert (told[0], sum(told)) == (0, COUNT)
    good = torch.from_numpy(np.delete(pictures(), BAD, axis=0)).permute(0, 3, 1, 2)
    maps = brightness(good).numpy()
    np.testing.assert_array_equal(store.maps, np.rint(255 * maps / maps.max((1, 2), keepdims=True)))
    store.verify()
    again = HeatmapStore.open(tmp_path / "store", KEPT)
    assert again.left_out == LEFT_OUT


@pytest.mark.parametrize("mended", [[], [4, 5, 6, 7]], ids=["a batch of bad ones", "a good one first"])
@pytest.mark.parametrize("shard", [1, 1024])
@pytest.mark.parametrize("times", range(1, 5))
def test_interrupted_and_gone_on_with(root, tmp_path, times, shard, mended, monkeypatch):
    """The very same store: also the maps that tell where in its batch an image stood."""
    for k in mended:
        Image.fromarray(pictures()[k]).save(root / NAMES[k])
    monkeypatch.setattr("dali_ops.stores.SHARD", shard)
    whole = contents(build(root, tmp_path / "whole", by_place, skip_corrupt=True).path)
    with pytest.raises(KeyboardInterrupt):
        build(root, tmp_path / "store", by_place, skip_corrupt=True, advance=interrupting(times))
    build(root, tmp_path / "store", by_place, skip_corrupt=True)
    assert contents(tmp_path / "store") == whole


def test_first_an_error_and_then_without_them(root: Path, tmp_path: Path) -> None:
    """What was made before the error stays."""
    message = r"a b/3\.png cannot be decoded .*: mend or remove it; skip_corrupt=True leaves"
    with pytest.raises(ValueError, match=message):
        build(root, tmp_path / "store", batch_size=1)
    told: list[int] = []
    store = build(root, tmp_path / "store", batch_size=1, skip_corrupt=True, advance=told.append)
    assert told[0] == 3
    assert (store.files, store.left_out) == (KEPT, LEFT_OUT)


def test_none_can_be_decoded(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "images")
    for name in NAMES:
        (root / name).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of the images can be decoded, such as .*\.png"):
        build(root, tmp_path / "store", skip_corrupt=True)


def test_a_provider_that_fails_is_no_corrupt_image(root: Path, tmp_path: Path) -> None:
    def provider(images: Any) -> Any:
        raise OverflowError("a decoders of mine")

    with pytest.raises(ValueError, match="no heatmaps of the 3 images from .*0.png on: OverflowError"):
        build(root, tmp_path / "store", provider, skip_corrupt=True)


# What a writer keeps, whenever it is stopped.


def begun(path: Path, files: list[str]) -> Any:
    return HeatmapWriter(path, files, 2, model="x")


def test_a_writer_refuses_files_that_have_maps_or_are_none(tmp_path: Path) -> None:
    with begun(tmp_path / "store", ["a", "b", "c"]) as writer:
        writer.append(np.ones((1, 2, 2)))
        for wrong in (["a"], ["b", "x"]):
            with pytest.raises(ValueError, match=r"files must be such as have no map yet, got '[ax]'"):
                writer.leave_out(wrong)
        writer.leave_out(["c"])
        assert (writer.files, writer.left_out, len(writer)) == (["a", "b"], ["c"], 2)
    none = begun(tmp_path / "none", ["a"])
    with none, pytest.raises(ValueError, match="files must be a list of one path"):
        none.leave_out(["a"])


def work(path: Path) -> None:
    """Two maps, a file without one, and a third map; as far as they are not there yet."""
    with begun(path, ["a", "b", "c", "d"]) as writer:
        writer.append(np.eye(2)[None].repeat(max(2 - writer.done, 0), 0))
        if "c" in writer.files:
            writer.leave_out(["c"])
        writer.append(np.ones((3 - writer.done, 2, 2)))
        writer.finish()


@pytest.mark.parametrize("step", ["fsync", "replace", "ftruncate", "rename"])
@pytest.mark.parametrize("moment", range(6))
def test_whenever_it_stops_the_same_arguments_go_on(tmp_path, step, moment, monkeypatch):
    calls, real = itertools.count(), getattr(os, step)

    def stopping(*args: Any) -> Any:
        if next(calls) == moment:
            raise KeyboardInterrupt
        return real(*args)

    work(tmp_path / "whole")
    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(os, step, stopping)
        work(tmp_path / "store")
    if not (tmp_path / "store").exists():
        work(tmp_path / "store")
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_what_was_written_beyond_the_last_map_is_cut_off(tmp_path: Path) -> None:
    """By a run that was killed before it could say so."""
    with begun(tmp_path / "store", ["a", "b"]) as writer:
        with (tmp_path / "store.part" / "heatmaps.npy").open("r+b") as array:
            array.seek(-4, os.SEEK_END)
            array.write(b"map!")
        writer.leave_out(["b"])
    with begun(tmp_path / "store", ["a", "b"]) as writer:
        writer.append(np.ones((1, 2, 2)))
        assert len(writer.finish()) == 1


def test_a_store_without_any_says_nothing_about_it(tmp_path: Path) -> None:
    """So that stores of earlier versions are what they were."""
    with begun(tmp_path / "store", ["a"]) as writer:
        writer.append(np.ones((1, 2, 2)))
        assert writer.finish().left_out == []
    assert "left_out" not in (tmp_path / "store" / "store.json").read_text()


# Who reads it.

OPTIONS: dict[str, Any] = {"size": SIDE, "num_threads": 1, "drop_last": False}


def test_a_loader_leaves_out_what_the_store_has_left_out(root: Path, tmp_path: Path) -> None:
    """Also an image that was mended since: it has no heatmap."""
    store, folder = build(root, tmp_path / "store", skip_corrupt=True), ImageFolder.scan(root)
    Image.new("RGB", (SIDE, SIDE)).save(root / NAMES[3])
    said = (
        "has no heatmap of 'a b/3.png'; 6 of 11 files have none: it could not be decoded when the maps were made; skip_"
    )
    with pytest.raises(ValueError, match=said):
        load(folder, TokenMix(grid=4), heatmaps=store, **OPTIONS)
    loader = load(folder, TokenMix(grid=4), heatmaps=store, skip_corrupt=True, **OPTIONS)
    assert sum(len(images) for images, _ in loader) == len(KEPT)
    said = "has no heatmap: it could not be decoded for one"
    assert loader.skipped == [f"{root / name} {said}" for name in LEFT_OUT]
    again = load(folder, TokenMix(grid=4), heatmaps=store, skip_corrupt=True, **OPTIONS)
    again.load_state_dict(loader.state_dict())
    assert same(list(loader), list(again))


def test_a_loader_that_comes_to_the_store_later(root: Path, tmp_path: Path) -> None:
    store = build(root, tmp_path / "store", skip_corrupt=True)
    loader = load(ImageFolder.scan(root), CutMix(), skip_corrupt=True, **OPTIONS)
    loader.switch(method=TokenMix(grid=4), heatmaps=store)
    assert sum(len(images) for images, _ in loader) == len(KEPT)


def test_a_loader_that_leaves_the_store(root: Path, tmp_path: Path) -> None:
    """What has no map is used again, but what cannot be decoded."""
    store = build(root, tmp_path / "store", skip_corrupt=True)
    Image.new("RGB", (SIDE, SIDE)).save(root / NAMES[3])
    loader = load(ImageFolder.scan(root), TokenMix(grid=4), heatmaps=store, skip_corrupt=True, **OPTIONS)
    loader.switch(method=CutMix())
    mended = len(KEPT) + (NAMES[3] in LEFT_OUT)
    assert sum(len(images) for images, _ in loader) == mended
    assert len(loader.skipped) == COUNT - mended
    assert not any("heatmap" in reason for reason in loader.skipped)


def test_a_map_that_is_missing_for_no_reason_is_an_error_all_the_same(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "images")
    store = build(root, tmp_path / "store")
    Image.new("RGB", (SIDE, SIDE)).save(root / "c" / "new.png")
    with pytest.raises(ValueError, match=r"has no heatmap of 'c/new\.png'; 1 of 12 files have none$"):
        load(ImageFolder.scan(root), TokenMix(grid=4), heatmaps=store, skip_corrupt=True, **OPTIONS)


# The commands.


def run(*words: object) -> int:
    return cli.main([*map(str, words), "--device", "cpu"])


def test_the_command_names_the_remedy_and_takes_it(here: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["heatmaps", "build", root, "--model", "bright:teacher", "--grid", 4, "--out", "store"]
    assert run(*words) == 1
    remedy = "mend or remove it; --skip-corrupt leaves it out"
    assert capsys.readouterr().err == f"dalimix: {root / NAMES[3]} cannot be decoded as an image: {remedy}\n"
    assert run(*words, "--skip-corrupt") == 0
    said = "store: 5 heatmaps of 4 × 4 in uint8, 80 bytes; 6 left out, which cannot be decoded: a b/3.png, "
    assert capsys.readouterr().out.startswith(said)
    assert cli.main(["heatmaps", "show", "store", str(root), "--out", "sheet.png"]) == 0


@pytest.mark.parametrize("command", ["preview", "bench"])
def test_sheets_and_measurements_without_them(here, root, command, capsys):
    few = {"preview": ["--count", 2], "bench": ["--batch-size", 2, "--batches", 1, "--rounds", 1]}[command]
    words = [command, root, "--method", "cutmix", "--size", 16, *few]
    assert run(*words) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.endswith(".png cannot be decoded as an image: mend or remove it; --skip-corrupt leaves it out")
    assert run(*words, "--skip-corrupt") == 0


def test_measurements_with_the_store(here: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(root, here / "store", skip_corrupt=True)
    Image.new("RGB", (SIDE, SIDE)).save(root / NAMES[3])
    words = ["bench", root, "--method", "token_mix", "--size", 16, "--batch-size", 2, "--batches", 1, "--rounds", 1]
    assert run(*words, "--heatmaps", "store") == 1
    assert capsys.readouterr().err.endswith("when the maps were made; --skip-corrupt leaves it out\n")
    assert run(*words, "--heatmaps", "store", "--skip-corrupt") == 0


def test_a_folder_of_which_the_store_has_left_out_everything(here, root, capsys):
    build(root, here / "store", skip_corrupt=True)
    for name in KEPT:
        (root / name).unlink()
    for folder in {(root / name).parent for name in NAMES}:
        if not any(folder.iterdir()):
            folder.rmdir()
    for words in (["heatmaps", "show", "store", root], ["bench", root, "--heatmaps", "store", "--skip-corrupt"]):
        assert cli.main([*map(str, words)]) == 1
        assert f"dalimix: store has left out all {len(BAD)} images of {root}: they" in capsys.readouterr().err


def test_nothing_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / "0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of the 32 images can be decoded, such as .*a/0\.png"):
        preview(ImageFolder.scan(tmp_path / "images"), [CutMix()], "cpu", count=1, size=8, seed=0, skip_corrupt=True)
    assert run("bench", tmp_path / "images", "--skip-corrupt", "--batch-size", 1) == 1
    assert "none of 1 images can be decoded, such as" in capsys.readouterr().err


def test_a_command_names_commands_where_a_store_is_missing(here, root, capsys):
    for words in (["heatmaps", "show", "nowhere", root], ["bench", root, "--heatmaps", "nowhere"]):
        assert cli.main([*map(str, words)]) == 1
        said = "dalimix: nowhere is no folder, expected one made by dalimix heatmaps build\n"
        assert capsys.readouterr().err == said
