"""Loaders with a sampler: shares, lengths, states, corrupt images, stores; and which images a batch has."""

import signal
from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import WeightedRandomSampler

from dali_ops import Loader, Train
from dali_ops.samplers import Balanced, Repeated, Weighted
from dali_ops.sources import ImageFolder
from dalimix import AttentiveCutMix, CutMix, Mixup, SMMix
from dalimix.torch import SMMixBatch
from tests.support.data import coloured
from tests.support.loaders import by_attention, load, sized
from tests.support.programs.killed_samplers import COUNT, DEATH, RANKS, SAMPLERS, SAVED, lines, loader
from tests.support.same import same
from tests.support.scripts import script
from tests.support.stores import store_of

EPOCH = 4  # batches
UNMIXED = Mixup(prob=0.0)
PLAIN: dict[str, Any] = {"size": 16, "dtype": "uint8", "keep_info": True}
every = pytest.mark.parametrize("name", SAMPLERS)

root = coloured.noisy_root


@pytest.fixture(scope="module")
def folder(root):
    return ImageFolder.scan(root)


def indices(made):
    """Of the batches of an epoch."""
    return [made.batch_info.index.tolist() for _ in made]


def flat(batches):
    return list(chain.from_iterable(batches))


@pytest.fixture(scope="module")
def killed(root, tmp_path_factory):
    """What a process has left that died."""
    place = tmp_path_factory.mktemp("killed")
    done = script("-m", "tests.support.programs.killed_samplers", root, place)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return place


@every
def test_a_killed_process_is_resumed_with_the_very_next_batch(root, killed, name):
    for rank in range(RANKS):
        whole = lines(loader(root, name, rank), 2 * EPOCH)
        assert (killed / f"{name}-{rank}").read_text().splitlines() == whole[:DEATH]
        resumed = loader(root, name, rank, seed=99)
        resumed.load_state_dict(torch.load(killed / f"{name}-{rank}.pt", weights_only=True))
        assert resumed.epoch == 1
        assert lines(resumed, 2 * EPOCH - SAVED) == whole[SAVED:]


def test_a_global_batch_has_each_image_three_times_and_every_time_another_crop(root):
    options = {**PLAIN, "sampler": Repeated(3), "world_size": 2}
    ranks = [load(root, UNMIXED, 3, rank=rank, **options) for rank in range(2)]
    seen: Counter[int] = Counter()
    for batches in zip(*ranks, strict=True):
        found = [index for made in ranks for index in made.batch_info.index.tolist()]
        assert sorted(Counter(found).values()) == [3, 3]
        crops = torch.cat([images for images, _ in batches])
        assert len(crops.flatten(1).unique(dim=0)) == 6
        seen.update(found)
    assert len(seen) == COUNT // 3


def test_an_epoch_is_as_long_as_the_authors(folder):
    many = folder.picked([k % COUNT for k in range(600)])  # 512 of them, in shares of 170
    for drop_last, steps in [(True, 5), (False, 6)]:
        made = load(many, None, 32, rank=1, world_size=3, sampler=Repeated(3), drop_last=drop_last)
        assert len(made) == steps
    assert len(load(many, None, 32, sampler=Balanced())) == 600 // 32


@every
def test_labels_and_names_are_those_of_the_index(root, folder, name):
    made = load(root, CutMix(), 5, sampler=SAMPLERS[name], drop_last=False, **PLAIN)
    sizes = []
    for images, _ in made:
        info = made.batch_info
        assert (info.index.dtype, info.index.shape) == (torch.int64, (len(images),))
        assert info.labels.tolist() == [folder.labels[k] for k in info.index]
        assert made.names(info.index) == [folder.names[k] for k in info.index]
        sizes.append(len(images))
    assert sizes == [5, 5, 5, 5, 4]


@pytest.mark.parametrize("sampler", [None, *SAMPLERS.values()], ids=["none", *SAMPLERS])
def test_the_index_is_that_of_the_pixels(tmp_path, sampler):
    for k in range(COUNT):
        (tmp_path / f"class{k % 2}").mkdir(exist_ok=True)
        Image.new("RGB", (20, 16), (k * 10,) * 3).save(tmp_path / f"class{k % 2}" / f"{k:02}.png")
    made = load(tmp_path, UNMIXED, 7, sampler=sampler, drop_last=False, **PLAIN)
    for images, _ in made:
        names = [f"class{k % 2}/{k:02}.png" for k in (images[:, 0, 0, 0] // 10).tolist()]
        assert made.names(made.batch_info.index) == names


@pytest.mark.parametrize("processes", [1, 2])
def test_without_a_sampler_every_image_is_there_once(root, processes):
    ranks = [load(root, CutMix(), 4, rank=rank, world_size=processes, **PLAIN) for rank in range(processes)]
    epochs = [flat([flat(indices(made)) for made in ranks]) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(COUNT))
    assert epochs[0] != epochs[1]


@every
def test_every_epoch_has_other_images_and_can_be_gone_to(root, name):
    made, again = (load(root, CutMix(), 6, sampler=SAMPLERS[name], **PLAIN) for _ in range(2))
    epochs = [indices(made) for _ in range(3)]
    assert len({str(epoch) for epoch in epochs}) == 3
    again.set_epoch(2)
    assert indices(again) == epochs[2]


@every
def test_a_switch_keeps_the_sampler(root, name):
    made, plain = (load(root, CutMix(), 6, sampler=SAMPLERS[name], **PLAIN) for _ in range(2))
    first, second = indices(plain), indices(plain)
    assert indices(made) == first
    made.switch(method=Mixup(), transform=sized(made, 8))
    assert indices(made) == second


OTHERS = [None, Repeated(2), Balanced(), Weighted(np.ones(COUNT)), Weighted(np.arange(COUNT))]


@pytest.mark.parametrize("other", OTHERS, ids=[str(k) for k in range(len(OTHERS))])
def test_a_state_with_another_sampler_is_refused(root, other):
    state = load(root, CutMix(), sampler=Repeated(3), **PLAIN).state_dict()
    made = load(root, CutMix(), sampler=other, **PLAIN)
    with pytest.raises(ValueError, match=r"the state is of another sampler.*\(sampler was Repeated\(times=3\), here"):
        made.load_state_dict(state)
    back = made.state_dict()
    with pytest.raises(ValueError, match="the state is of another sampler: make the loader as it was"):
        load(root, CutMix(), sampler=Repeated(3), **PLAIN).load_state_dict(back)
    load(root, CutMix(), sampler=other, **PLAIN).load_state_dict(back)


@every
def test_images_that_cannot_be_decoded_are_left_out(tmp_path, name):
    folder = ImageFolder.scan(coloured.coloured_folder(tmp_path / "images"))
    bad = [0, 9]
    for k in bad:
        (folder.root / folder.names[k]).write_text("no image")
    options = {**PLAIN, "skip_corrupt": True, "sampler": SAMPLERS[name]}
    made, whole = load(folder, CutMix(), 6, **options), []
    for _ in range(3):
        whole += [(made.batch_info.index.tolist(), batch) for batch in made]
    expected = indices_of_order(made)
    assert [index for index, _ in whole] == [[k for k in numbers if k not in bad] for numbers in expected]
    assert any(k in numbers for numbers in expected for k in bad)
    resumed = load(folder, CutMix(), 6, **options)
    batches = (batch for _ in range(2) for batch in resumed)
    for _ in range(EPOCH + 2):  # into the second epoch
        next(batches)
    state = resumed.state_dict()
    again = load(folder, CutMix(), 6, **options)
    again.load_state_dict(state)
    assert same(list(again), [batch for _, batch in whole[EPOCH + 2 : 2 * EPOCH]])


def indices_of_order(made):
    order = made._prefetcher.feed.order
    return [order.numbers(epoch, step).tolist() for epoch in range(3) for step in range(order.steps)]


def test_an_error_names_an_image_that_comes_three_times_once(tmp_path):
    folder = ImageFolder.scan(coloured.coloured_folder(tmp_path / "images"))
    for name in folder.names:
        (folder.root / name).write_text("no image")
    with pytest.raises(ValueError, match=r"\.png cannot be decoded as an image"):
        list(load(folder, None, 6, sampler=Repeated(3)))


@every
def test_stored_heatmaps_are_those_of_the_images(root, folder, tmp_path, name):
    """The map of an even image is hot at the bottom, of an odd one at the top, however it is cropped and flipped."""
    ramp = np.arange(5.0)[:, None].repeat(5, 1)
    store = store_of(tmp_path / "store", folder.names, np.array([ramp[:: (-1) ** k] for k in range(COUNT)]))
    options = {**PLAIN, "heatmaps": store, "sampler": SAMPLERS[name]}
    made, mixed = load(root, AttentiveCutMix(1, grid=5), 6, **options), 0
    for _ in made:
        plan, index = made.batch_info.plan, made.batch_info.index
        for giver, tokens in zip(plan.partner.tolist(), plan.tokens, strict=True):
            (row,) = tokens.any(1).nonzero().flatten().tolist() or [None]
            if row is not None:
                assert row == 0 if index[giver] % 2 else row >= 2
                mixed += 1
    assert mixed > 12


def test_a_batch_of_smmix_takes_all_that_is_known(root):
    made = load(root, CutMix(), sampler=Repeated(2), size=16, keep_info=True)
    images, targets = next(iter(made))
    batch = SMMixBatch(images, targets, **vars(made.batch_info))
    assert batch.index is made.batch_info.index


def test_with_predictions(root):
    made = load(root, SMMix(grid=4), 6, heatmaps=by_attention(), sampler=Repeated(3), **{**PLAIN, "size": 32})
    assert indices(made) == indices_of_order(made)[:EPOCH]
    assert made.batch_info.predictions.shape == (6, 5)


NO_INDEX = [
    ([COUNT], ValueError, "index must be positions of images, from 0 to 23, got 24"),
    (torch.tensor([3, -1]), ValueError, "index must be positions of images, from 0 to 23, got -1"),
    ([1.0], TypeError, r"index must be whole numbers \[n\], positions of images, got 1.0"),
    ([[1]], TypeError, r"index must be whole numbers \[n\], positions of images, got \[1\]"),
    ([True], TypeError, r"index must be whole numbers \[n\], positions of images, got True"),
    (torch.tensor(3), TypeError, "index must be a list of positions of images"),
    (3, TypeError, "index must be a list of positions of images"),
    (None, TypeError, "index must be a list of positions of images"),
]


@pytest.mark.parametrize(("index", "kind", "message"), NO_INDEX, ids=[str(k) for k in range(len(NO_INDEX))])
def test_what_is_no_index(root, index, kind, message):
    with pytest.raises(kind, match=message):
        load(root).names(index)


def test_an_index_in_any_form(root, folder):
    made = load(root)
    assert made.names([]) == []
    for index in ([1, 7], (1, 7), np.array([1, 7]), torch.tensor([1, 7]), np.array([1, 7], np.uint8), [np.int8(1), 7]):
        assert made.names(index) == [folder.names[1], folder.names[7]]


WRONG = [
    ({"sampler": Balanced(), "training": False}, ValueError, "a sampler is for training, got Balanced.*is an Eval"),
    ({"sampler": Balanced}, TypeError, "sampler must be one of dali_ops.samplers, such as Balanced"),
    ({"sampler": "balanced"}, TypeError, "sampler must be one of dali_ops.samplers, .* got 'balanced'"),
    ({"sampler": WeightedRandomSampler([1.0], 1)}, TypeError, "sampler must be one of dali_ops.samplers"),
    ({"sampler": Weighted([1, 2])}, ValueError, "sampler has 2 weights but source has 24 images: Weighted takes one"),
    ({"sampler": Repeated(3), "rank": 0, "world_size": 25}, ValueError,
     "24 images are too few for this sampler and 25 processes: in an epoch of it none is left for each of them"),
    ({"sampler": Repeated(3), "rank": 0, "world_size": 5, "batch_size": 5}, ValueError,
     "batch_size 5 is more than the 4 images that a process has in an epoch of this sampler: choose a smaller one"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "kind", "message"), WRONG, ids=[str(k) for k in range(len(WRONG))])
def test_what_is_no_sampler(root, options, kind, message):
    with pytest.raises(kind, match=message):
        load(root, **options)


KEYWORDS: list[tuple[Any, str, str]] = [
    (Loader, "weights", "sampler=Weighted.weights=…. takes it"),
    (Loader, "num_repeats", r"sampler=Repeated\(3\) of dali_ops.samplers is that"),
    (Loader, "batch_sampler", "makes whole batches itself"),
    (Repeated, "num_repeats", r"sampler=Repeated\(3\) of dali_ops.samplers is that"),
    (Weighted, "num_samples", "Weighted.weights. draws with replacement, as many images as the source has"),
    (Train, "sampler", "a loader takes it when it is made"),
]


@pytest.mark.parametrize(("kind", "name", "meant"), KEYWORDS, ids=str)
def test_keywords_of_other_samplers(kind, name, meant):
    with pytest.raises(TypeError, match=f"has no argument {name}: .*{meant}"):
        kind(**{name: 1})


def test_a_sampler_is_not_switched(root):
    with pytest.raises(TypeError, match="a loader has no argument sampler: a loader takes it when it is made"):
        load(root).switch(sampler=None)  # type: ignore[call-arg]
