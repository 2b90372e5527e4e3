"""Images that cannot be read or decoded are left out and counted, where a user asks for that."""

import pytest

pytest.importorskip("nvidia.dali")
torch = pytest.importorskip("torch")
pytest.importorskip("PIL.Image")

from dali_ops import Loader
from dali_ops.sources import ImageFolder
from dalimix import CutMix, Mixup, SMMix
from tests.coloured import coloured_folder
from tests.test_batch_info import by_attention
from tests.test_loader import load

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
    options = {"size": 16, "num_threads": 2, "device": "cpu", "seed": 1, "dtype": "uint8", **options}
    return Loader(folder, method, BATCH, **{"skip_corrupt": True, **options})


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
        places = sorted(f"{folder.root}/{name} cannot be decoded as an image" for name in DAMAGE)
        assert sorted(ours.skipped) == places
    assert len(ours) == COUNT // BATCH


def test_validation_sees_the_others_once_in_order(folder):
    labels = torch.cat([labels for _, labels in loader(folder, training=False)]).tolist()
    assert labels == [label for k, label in enumerate(folder.labels) if k not in bad(folder)]


def test_a_batch_without_one_good_image_is_empty(folder):
    only = folder.picked([*bad(folder), 2, 3, 4, 5])
    assert [len(images) for images, _ in loader(only, training=False)] == [0, 4]


def test_a_batch_is_mixed_within_its_good_images(folder):
    ours = loader(folder, CutMix(), keep_info=True)
    for images, targets in ours:
        assert len(images) == len(targets) == len(ours.batch_info.labels)
        assert sorted(ours.batch_info.plan.partner.tolist()) == list(range(len(images)))


def test_what_is_no_fault_of_an_image_is_an_error_as_ever(folder):
    def broken(images):
        raise ZeroDivisionError("a decoders of mine")

    with pytest.raises(RuntimeError, match="a decoders of mine"):
        list(loader(folder.picked([2, 3, 4, 5]), SMMix(grid=4), heatmaps=broken))


def test_a_model_beside_it_goes_on(folder):
    ours = loader(folder, SMMix(grid=4), heatmaps=by_attention(), keep_info=True, size=32)
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
    for (images, targets), (images_too, targets_too) in zip(batches(resumed, 9), all_of_them[9:], strict=True):
        assert torch.equal(images, images_too)
        assert torch.equal(targets, targets_too)


def test_two_runs_are_the_same(folder):
    one, two = (list(loader(folder, CutMix())) for _ in range(2))
    assert all(torch.equal(a, b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))


def test_a_good_folder_is_read_as_without_skipping(tmp_path):
    root = coloured_folder(tmp_path / "images")
    plain, skipping = (list(load(root, CutMix(), skip_corrupt=value)) for value in (False, True))
    assert all(torch.equal(a, b) for x, y in zip(plain, skipping, strict=True) for a, b in zip(x, y, strict=True))
