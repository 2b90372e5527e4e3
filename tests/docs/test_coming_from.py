"""The code of docs/coming_from.md runs as it stands, and before and after mean the same."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot
from torch.utils import data

from dali_ops import ImageFolderLoader
from dali_ops.device import usable_device
from dalimix import CutMix, Mixup
from dalimix.torch import BatchMixer
from tests.support.data import coloured
from tests.support.data.coloured import COLOURS
from tests.support.loaders import grouped
from tests.support.models.frameworks import a_module, a_trainer, forget_accelerate
from tests.support.paths import ROOT
from tests.support.same import same

PAGE = (ROOT / "docs" / "coming_from.md").read_text(encoding="utf-8")
HEADING = re.compile(r"^### (.*)$", re.MULTILINE)
FENCE = re.compile(r"^([^\n]*)\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOREIGN = ("timm", "torchvision", "torchdata", "pytorch_lightning", "accelerate")
CLASSES, BATCH, COUNT = len(COLOURS), 6, 24
PIXELS = (BATCH, 3, 224, 224)


def blocks_of(page):
    """Code by section and whether it is before, after or a section's only one."""
    parts = HEADING.split(page)
    found = {}
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        for lead, code in FENCE.findall(text):
            side = "before" if lead.endswith("Before:") else "after" if lead.endswith("After:") else "only"
            assert (heading, side) not in found, f"two blocks {side} in {heading}"
            found[heading, side] = code
    return found


BLOCKS = blocks_of(PAGE)


class Dataset(data.Dataset):
    def __len__(self):
        return COUNT

    def __getitem__(self, number):
        return torch.full((3, 224, 224), float(number)), number % CLASSES


root = coloured.noisy_root


@pytest.fixture
def names(root, tmp_path, monkeypatch):
    """What the page says is given."""
    monkeypatch.chdir(tmp_path)  # for what the code writes
    device = "cuda" if usable_device(None) == "gpu" else "cpu"
    torch.manual_seed(0)
    np.random.seed(0)  # timm draws by it
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, CLASSES))
    given = {"root": str(root), "classes": CLASSES, "batch_size": BATCH, "device": torch.device(device)}
    given |= {"model": model.to(device), "dataset": Dataset(), "optimizer": torch.optim.SGD(model.parameters(), 0.01)}
    yield given | {"images": torch.rand(8, 3, 32, 32), "labels": torch.arange(8) % CLASSES}
    forget_accelerate()


def run(heading, side, given, **replaced):
    """What a block leaves behind; `replaced` are pairs of texts, the one that is there and the one to put."""
    code = BLOCKS[heading, side]
    for package in FOREIGN:
        if re.search(rf"^(from|import) {package}\b", code, re.MULTILINE):
            pytest.importorskip(package)
    if given["device"].type == "cpu":  # what the page says of pipelines is for a GPU
        code = code.replace("device_id=0", "device_id=None").replace('device="mixed"', 'device="cpu"')
    for old, new in replaced.values():
        assert old in code, f"{heading} does not say {old}"
        code = code.replace(old, new)
    left, path = dict(given), Path("block.py").absolute()  # DALI reads the source of functions that it is given
    path.write_text(code)
    exec(compile(code, path, "exec"), left)
    return SimpleNamespace(**left)


LIGHTNING = [("The Trainer, from Lightning", "before"), ("The Trainer, from Lightning", "after")]
SEVERAL = "Several processes, with Lightning"
SMOOTHED = [block for block in BLOCKS if "timm" in block[0]] + [("Loader and mixing, from torchvision", "after")]
HERE = [block for block in BLOCKS if "Lightning" not in block[0]]


@pytest.mark.parametrize(("heading", "side"), HERE)
def test_the_code_runs(heading, side, names):
    """The last batch that it made is of the expected size and kind."""
    left = run(heading, side, names)
    images, mixed = left.images, hasattr(left, "targets")
    assert images.shape == (names["images"].shape if "Only" in heading else PIXELS)
    assert images.dtype == torch.float32
    if mixed:
        assert left.targets.dtype == torch.float32
        assert left.targets.shape == (len(images), CLASSES)
        assert torch.allclose(left.targets.sum(1), torch.ones(len(images), device=left.targets.device))
        assert left.targets.min() == pytest.approx(0.1 / CLASSES if (heading, side) in SMOOTHED else 0, abs=1e-6)
    else:
        assert left.labels.shape == (len(images),)


def test_every_section_has_its_code():
    assert len(BLOCKS) == PAGE.count("```python")
    alone = {
        "The whole pipeline, from DALI",
        "Where a framework insists on a DataLoader",
        "RandAugment, from torchvision",
    }
    for heading in {heading for heading, _ in BLOCKS} - {SEVERAL}:
        assert (heading, "after") in BLOCKS
        assert ((heading, "before") in BLOCKS) == (heading not in alone)


def test_links_lead_somewhere():
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= anchors


def test_dali_without_mixing_gives_the_same_pixels(names):
    heading, flips = "The last operator, from DALI", ("coin_flip()", "coin_flip(seed=2)")
    before = run(heading, "before", names, flips=flips)
    after = run(heading, "after", names, flips=flips, off=("CutMix(1.0", "CutMix(1.0, prob=0"))
    assert before.images.shape == after.images.shape == PIXELS
    assert before.images.dtype == after.images.dtype
    assert torch.allclose(before.images, after.images, atol=1e-5)
    assert torch.equal(one_hot(before.labels.long(), CLASSES).float(), after.targets)
    mixed = run(heading, "after", names, flips=flips)
    assert not torch.allclose(before.images, mixed.images, atol=0.1)


def test_a_loader_goes_on_after_a_state(names):
    left = run("Going on where it stopped, from a DataLoader", "after", names)
    assert len(left.rest) == COUNT // BATCH - 1
    left.loader.load_state_dict(torch.load("checkpoint.pt")["loader"])
    assert same(left.rest, list(left.loader))


def test_smoothing_in_the_targets_or_in_the_loss():
    images, labels, logits = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 1]), torch.randn(4, 3)
    mixers = [BatchMixer(Mixup(), 3, smoothing=s, generator=torch.Generator().manual_seed(0)) for s in (0.1, 0)]
    (_, smoothed), (_, plain) = (mixer(images, labels) for mixer in mixers)
    loss = torch.nn.functional.cross_entropy
    assert torch.allclose(loss(logits, smoothed), loss(logits, plain, label_smoothing=0.1))


def test_targets_stay_smoothed_without_mixing(names):
    loader = run("Loader and mixing, from timm", "after", names).loader
    loader.switch(method=None)
    for _, targets in loader:
        assert torch.allclose(targets.max(1).values, torch.tensor(0.9 + 0.1 / CLASSES, device=targets.device))


BATCHES, SIDES = 600, ("before", "after")
LIKE = [("Only the mixing, from timm", "mixup", 0.1), ("Only the mixing, from torchvision", "mix", 0)]


@pytest.mark.parametrize(("heading", "name", "smoothing"), LIKE, ids=["timm", "torchvision"])
def test_mixing_is_alike(heading, name, smoothing, names):
    """Over many batches: as often CutMix as Mixup, the same distribution of λ for each, the same partners."""
    size = 4  # image n is filled with n, and its class is n
    images = torch.arange(float(size))[:, None, None, None].expand(size, 1, 112, 112)
    names |= {"classes": size, "images": images.clone(), "labels": torch.arange(size)}
    before, after = (shares_of(getattr(run(heading, side, names), name), images, smoothing) for side in SIDES)
    ks_2samp = pytest.importorskip("scipy.stats").ks_2samp
    assert before["partners"] == after["partners"]
    assert len(after["partners"]) == 1
    assert abs(len(before[True]) - len(after[True])) < 0.1 * BATCHES
    assert all(ks_2samp(before[pasted], after[pasted]).pvalue > 0.001 for pasted in (True, False))


def shares_of(mixer, images, smoothing):
    """λ of many batches, by whether they were pasted or blended. Each batch has one, and the same partners."""
    shares, partners, size = {True: [], False: []}, set(), len(images)
    for _ in range(BATCHES):
        mixed, targets = mixer(images.clone(), torch.arange(size))
        weights = (targets - smoothing / size) / (1 - smoothing)
        own = weights.diagonal()
        assert torch.allclose(own, own[:1].expand(size), atol=1e-5)
        assert torch.allclose(mixed.mean((1, 2, 3)), weights @ torch.arange(float(size)), atol=1e-3)
        shares[bool(mixed[0].std() > 1e-6)].append(float(own[0]))
        if own[0] < 0.99:
            partners.add(tuple((weights - torch.diag(own)).argmax(1).tolist()))
    return shares | {"partners": partners}


def lightning(device):
    """What the page says is given there."""
    accelerator = "gpu" if device.type == "cuda" else "cpu"
    return {"module": a_module(), "trainer": a_trainer(max_epochs=1, accelerator=accelerator)}


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_the_loader_mixes_as_the_mixing_alone(package, names):
    loader, mixing = (
        run(f"{what}, from {package}", "after", names) for what in ("Loader and mixing", "Only the mixing")
    )
    assert loader.method == mixing.method


@pytest.mark.parametrize(("heading", "side"), LIGHTNING)
def test_the_code_runs_in_lightning(heading, side, names):
    left = run(heading, side, names | lightning(names["device"]))
    assert len(left.module.seen) == COUNT // BATCH
    images, targets = left.module.seen[0]
    assert images.shape == PIXELS
    assert targets.shape == ((BATCH, CLASSES) if side == "after" else (BATCH,))
    assert len(left.module.validation) == 2 + COUNT // BATCH


@pytest.fixture
def group():
    """torch.distributed, of one process."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_the_state_of_all_processes_in_lightning(names, group, tmp_path):
    left = run(SEVERAL, "only", names | lightning(names["device"]))
    assert len(left.module.seen) == COUNT // BATCH
    left.trainer.save_checkpoint(tmp_path / "lightning.ckpt")
    saved = torch.load(tmp_path / "lightning.ckpt")["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert [state["epoch"] for state in saved[0]["ranks"]] == [1]


def go_on(rank, root, folder):
    """What each of two processes does: an epoch with a state in the middle, and from there once more."""
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(minutes=5))
    options: Any = {"size": 32, "device": "cpu", "num_threads": 1, "seed": 1}
    loaders = [ImageFolderLoader(root, CutMix(), 3, **grouped(**options)).as_dataset(gather=True) for _ in range(2)]
    batches = iter(loaders[0])
    next(batches)
    state = loaders[0].state_dict()
    if rank == 0:
        torch.save(state, f"{folder}/state.pt")
    torch.distributed.barrier()
    with pytest.raises(ValueError, match="of another process"):
        loaders[1].loader.load_state_dict(state["ranks"][1 - rank])
    loaders[1].load_state_dict(torch.load(f"{folder}/state.pt"))
    following = list(batches)
    assert len(following) == 3
    assert same(list(loaders[1]), following)
    torch.distributed.destroy_process_group()


def test_the_state_of_all_processes_in_two(root, tmp_path):
    """This process is the first, and the only one that saves."""
    code = f"from tests.docs.test_coming_from import go_on; go_on(1, {str(root)!r}, {str(tmp_path)!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) as second:
        go_on(0, root, tmp_path)
        _, complaints = second.communicate(timeout=300)
    assert second.returncode == 0, complaints
