"""A batch that failed or was interrupted can be asked for again, and a state from then is that of before it."""

from itertools import chain

import pytest

from dali_ops.loader.settings import LoaderSettings
from dali_ops.loader.state import sealed
from dali_ops.sources import ImageFolder
from dalimix import AttentiveCutMix, Mixup
from tests.support.data.coloured import coloured_folder
from tests.support.loaders import load, sized
from tests.support.same import same

STEPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ImageFolder.scan(coloured_folder(tmp_path_factory.mktemp("interrupted") / "images"))


class Failing(ImageFolder):
    """Whose fetch raises once, at some call."""

    def fetch(self, numbers):
        calls = self.__dict__.setdefault("calls", [])
        calls.append(1)
        if len(calls) == self.__dict__["at"]:
            raise self.__dict__["error"]
        return super().fetch(numbers)


def failing(folder, at, error):
    source = Failing(folder.files, folder.labels, folder.classes, folder.root)
    source.__dict__.update(at=at, error=error)
    return source


def loop(loader, batches):
    for batch in loader:
        batches.append(batch)


@pytest.mark.parametrize("at", [1, 2, 3, 5, STEPS + 1, STEPS + 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("the server is gone"), RuntimeError("no")], ids=repr)
def test_going_on_after_a_failure(folder, at, error):
    plain, loader, batches = load(folder, Mixup()), load(failing(folder, at, error), Mixup()), []
    expected = [batch for _ in range(3) for batch in plain]
    with pytest.raises(type(error)):
        loop(chain(loader, loader), batches)
    loader.load_state_dict(loader.state_dict())
    while len(batches) < len(expected):
        loop(loader, batches)
    assert same(batches, expected)


def test_the_next_loop_after_a_failure_in_the_first_batch(folder):
    """Nothing of the epoch was given yet, so it is still to come, and whole."""
    loader = load(failing(folder, 1, OSError("gone")), Mixup())
    with pytest.raises(OSError, match="gone"):
        next(iter(loader))
    assert loader.epoch == 0
    assert same(list(loader), list(load(folder, Mixup())))


def test_a_provider_that_fails_once(folder):
    calls = []

    def provider(images):
        calls.append(1)
        if len(calls) == 4:
            raise ZeroDivisionError("once")
        return images[:, 0].float()

    def loader(provider):
        return load(folder, AttentiveCutMix(3), heatmaps=provider)

    ours, seen = loader(provider), []
    with pytest.raises(ZeroDivisionError, match="once"):
        loop(ours, seen)
    assert len(seen) == 3
    state = ours.state_dict()
    ours.load_state_dict(state)
    assert same(seen + list(ours), list(loader(lambda images: images[:, 0].float())))


def test_without_a_failure_one_pipeline_does_for_all_epochs(folder, monkeypatch):
    pipeline, made = LoaderSettings.pipeline, []
    monkeypatch.setattr(LoaderSettings, "pipeline", lambda *args, **own: made.append(1) or pipeline(*args, **own))
    loader = load(folder, Mixup())
    for _ in range(3):
        for _ in loader:
            loader.state_dict()
    assert len(made) == 1


def test_a_damaged_state_leaves_the_loader_as_it_was(folder):
    loader, plain = load(folder, Mixup()), load(folder, Mixup())
    first = next(iter(loader))
    state = loader.state_dict()
    with pytest.raises(ValueError, match="the state is damaged: its checksum is of other contents"):
        loader.load_state_dict({**state, "pipeline": b"some bytes"})
    with pytest.raises(ValueError, match="the state is damaged, or .*: DALI cannot restore its pipeline"):
        loader.load_state_dict(sealed({**state, "pipeline": b"some bytes"}))
    loader.load_state_dict(loader.state_dict())
    assert same([first, *loader], list(plain))


def test_a_pipeline_that_cannot_be_built_leaves_the_loader_as_it_was(folder, monkeypatch):
    from nvidia.dali.plugin import pytorch

    loader, plain = load(folder, Mixup()), load(folder, Mixup())
    running = iter(loader)
    first = next(running)
    with monkeypatch.context() as broken:
        broken.setattr(pytorch, "DALIGenericIterator", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loader.switch(transform=sized(loader, 1000))
    assert same([first, *running], list(plain))
