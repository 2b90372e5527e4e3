"""Images that cannot be read or decoded are left out and counted, where a user asks for that."""

import errno
import os
import sys
from threading import Event, Thread

import numpy as np
import pytest
import torch
from PIL import Image

from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.unreadable import without_red_lines
from dali_ops.loader.settings import LoaderSettings
from dali_ops.sources import ImageFolder
from dalimix import CutMix, Mixup, SMMix
from tests.support.data.coloured import coloured_folder, one_coloured_folder
from tests.support.loaders import by_attention, load
from tests.support.same import same

BATCH, COUNT = 4, 24
DAMAGE = {
    "blue/1.png": lambda path: path.write_bytes(b""),
    "green/3.png": lambda path: path.write_bytes(path.read_bytes()[:900]),
    "red/6.png": lambda path: path.write_text("no image"),
    "red/7.png": lambda path: path.unlink(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scanned while all was well."""
    root = coloured_folder(tmp_path_factory.mktemp("damaged") / "images")
    found = ImageFolder.scan(root)
    for name, damage in DAMAGE.items():
        damage(root / name)
    return found


def loader(folder, method=None, **options):
    return load(folder, method, BATCH, **{"skip_corrupt": True, **options})


def bad(folder):
    return sorted(folder.names.index(name) for name in DAMAGE)


def test_an_error_names_the_first_one(folder):
    with pytest.raises(ValueError, match=r"blue/1\.png cannot be decoded as an image"):
        list(loader(folder, training=False, skip_corrupt=False))


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("method", [None, CutMix()], ids=repr)
def test_all_others_are_there_and_the_count_is_right(folder, method, drop_last):
    ours = loader(folder, method, drop_last=drop_last)
    assert ours.skipped == []
    for _ in range(2):
        assert sum(len(images) for images, _ in ours) == COUNT - len(DAMAGE)
        places = sorted(f"{folder.root}/{name} cannot be read or decoded" for name in DAMAGE)
        assert sorted(ours.skipped) == places
    assert len(ours) == COUNT // BATCH


def test_validation_sees_the_others_once_in_order(folder):
    labels = torch.cat([labels for _, labels in loader(folder, training=False)]).tolist()
    assert labels == [label for k, label in enumerate(folder.labels) if k not in bad(folder)]


def test_a_batch_without_one_good_image_is_empty(folder):
    """Also where the one that stands in for it, as DALI must get one, is bad itself."""
    only = folder.picked([*bad(folder), 2, 3, 4, 5])
    assert [len(images) for images, _ in loader(only, training=False)] == [0, 4]
    ours = load(only, None, 2, training=False, skip_corrupt=True)
    assert [len(images) for images, _ in ours] == [0, 0, 2, 2]
    assert len(ours.skipped) == len(DAMAGE)


def test_a_bad_image_that_stands_in_for_an_empty_share(folder):
    """Ten images in three shares of 3, 3 and 4: the second process has none in its last step."""
    only = folder.picked([bad(folder)[0], *range(2, 8), 10, 12, 13])
    ours = load(only, None, 3, training=False, skip_corrupt=True, rank=1, world_size=3)
    assert [len(images) for images, _ in ours] == [3, 0]


def test_not_one_good_image(folder):
    with pytest.raises(ValueError, match=r"none of the 4 images can be decoded, such as .*blue/1\.png"):
        list(loader(folder.picked(bad(folder))))


def test_the_order_of_the_others_stays(folder):
    ours, all_of_them = loader(folder, CutMix(), keep_info=True), Order(COUNT, BATCH, training=True, seed=1)
    labels = [ours.batch_info.labels.tolist() for _ in ours]
    order = [[k for k in all_of_them.numbers(0, step) if k not in bad(folder)] for step in range(len(ours))]
    assert labels == [[folder.labels[k] for k in numbers] for numbers in order]


def test_two_bad_ones_in_a_batch_are_found_at_once_and_the_first_is_named(folder, monkeypatch):
    only, made = folder.picked([2, *bad(folder)[:2], 3]), []
    with pytest.raises(ValueError, match=r"blue/1\.png cannot be decoded as an image"):
        list(loader(only, training=False, skip_corrupt=False))
    pipeline = LoaderSettings.pipeline
    monkeypatch.setattr(LoaderSettings, "pipeline", lambda *args, **own: made.append(1) or pipeline(*args, **own))
    assert [len(images) for images, _ in loader(only, training=False)] == [2]
    assert len(made) == 2


def test_half_a_jpeg_has_a_good_header(tmp_path):
    (tmp_path / "a").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for k in range(2):
        Image.fromarray(pixels).save(tmp_path / "a" / f"{k}.jpg")
    (tmp_path / "a" / "0.jpg").write_bytes((tmp_path / "a" / "1.jpg").read_bytes()[:3000])
    assert [len(images) for images, _ in loader(ImageFolder.scan(tmp_path), training=False)] == [1]


def test_a_file_that_cannot_be_read_for_now_is_no_damage(folder, monkeypatch):
    """Nobody wants to lose it for the rest of a run."""

    def refused(self, number):
        raise OSError(errno.EIO, os.strerror(errno.EIO), self.files[number])

    monkeypatch.setattr(ImageFolder, "read", refused)
    with pytest.raises(OSError, match=r"Input/output error: .*\.png"):
        list(loader(folder))


def test_a_batch_is_mixed_within_its_good_images(folder):
    ours = loader(folder, CutMix(), keep_info=True)
    for images, targets in ours:
        assert len(images) == len(targets) == len(ours.batch_info.labels)
        assert sorted(ours.batch_info.plan.partner.tolist()) == list(range(len(images)))


def test_what_is_no_fault_of_an_image_is_an_error_as_ever(folder):
    def broken(images):
        raise ZeroDivisionError("a decoders of mine")

    with pytest.raises(ZeroDivisionError, match="a decoders of mine"):
        list(loader(folder.picked([2, 3, 4, 5]), SMMix(grid=4), heatmaps=broken))


def test_a_model_beside_it_goes_on(folder):
    ours = loader(folder, SMMix(grid=4), heatmaps=by_attention(), keep_info=True)
    assert sum(len(ours.batch_info.predictions) for _ in ours) == COUNT - len(DAMAGE)


def test_resuming_with_skipped_images(folder):
    def batches(loader, count):
        return [batch for _ in range(3) for batch in loader][:count]

    first, second = loader(folder, Mixup()), loader(folder, Mixup())
    all_of_them = batches(first, 18)
    state = None
    for epoch in range(2):
        for step, _ in enumerate(second):
            if (epoch, step) == (1, 2):
                state = second.state_dict()
    resumed = loader(folder, Mixup())
    resumed.load_state_dict(state)
    assert sorted(resumed.skipped) == sorted(first.skipped)
    assert same(batches(resumed, 9), all_of_them[9:])


def test_two_runs_are_the_same(folder):
    one, two = (list(loader(folder, CutMix())) for _ in range(2))
    assert same(one, two)


def test_a_good_folder_is_read_as_without_skipping(tmp_path):
    root = coloured_folder(tmp_path / "images")
    plain, skipping = (list(load(root, CutMix(), skip_corrupt=value)) for value in (False, True))
    assert same(plain, skipping)


def test_red_lines_of_dali_come_once(tmp_path, capfd):
    """Not again when the images of the batch are decoded one by one to learn which it was."""
    photo = one_coloured_folder(tmp_path) / "red" / "1.jpg"
    photo.write_bytes(photo.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"red/1\.jpg cannot be decoded"):
        list(loader(ImageFolder.scan(tmp_path), training=False, skip_corrupt=False))
    assert capfd.readouterr().err.count("[ERROR]") == 1


def test_other_lines_are_passed_on(capfd):
    with without_red_lines():
        os.write(2, b"\x1b[0;31m[ERROR] \x1b[0m[decoder] of DALI\nof others\n")
    assert capfd.readouterr().err == "of others\n"


def test_two_threads_give_stderr_back():
    def second():
        with without_red_lines():
            entered.set()
            left.wait(60)

    entered, left, thread, before = Event(), Event(), Thread(target=second), os.fstat(2)
    with without_red_lines():
        thread.start()
        entered.wait(0.3)
    left.set()
    thread.join()
    assert os.path.samestat(os.fstat(2), before)


def test_without_a_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    kept = os.dup(2)
    os.close(2)
    try:
        with without_red_lines(), pytest.raises(OSError, match="descriptor"):
            os.write(2, b"to nobody")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
