"""What SnapshotHeatmap refuses: when it is made, and when the model has changed since."""

import threading

import pytest
import torch
from torch import nn

from dalimix.heatmaps import FeatureHeatmap, SnapshotHeatmap
from tests.support.models.versions import IMAGES, Versions, a_snapshot, version
from tests.support.names import text


@pytest.mark.parametrize("every", [0, -1, 1.0, True, "2", None])
def test_every(every):
    with pytest.raises(ValueError, match=f"every must be a whole number from 1, got {every!r}"):
        a_snapshot(every=every)


@pytest.mark.parametrize("provider", [lambda images: images[:, 0], Versions(), None, a_snapshot()], ids=text)
def test_provider(provider):
    expected = r"provider must be a ModelHeatmap, such as AttentionHeatmap\(model, layer\), got "
    with pytest.raises(TypeError, match=expected + type(provider).__name__):
        SnapshotHeatmap(provider)


@pytest.fixture
def alone():
    """A process group of this process, without a network."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


OUTER = pytest.mark.parametrize("outer", [lambda model: model, nn.Sequential], ids=["itself", "inside"])


@OUTER
def test_ddp_would_speak_with_the_other_ranks(alone, outer):
    wrapped = nn.parallel.DistributedDataParallel(nn.Conv2d(3, 3, 1))
    expected = r"a bare model, such as ddp\.module, but the provider's is or holds a DistributedDataParallel"
    with pytest.raises(TypeError, match=expected):
        SnapshotHeatmap(FeatureHeatmap(outer(wrapped), ""))
    SnapshotHeatmap(FeatureHeatmap(wrapped.module, ""))(IMAGES)


@OUTER
def test_data_parallel_would_use_other_gpus(outer):
    model = outer(nn.DataParallel(nn.Conv2d(3, 3, 1)))
    with pytest.raises(TypeError, match="a bare model, .*, but the provider's is or holds a DataParallel"):
        SnapshotHeatmap(FeatureHeatmap(model, ""))


def test_a_compiled_model():
    model = nn.Conv2d(3, 3, 1)
    compiled = torch.compile(model, backend="eager")
    with pytest.raises(TypeError, match="a bare model, .*, but the provider's is or holds a OptimizedModule"):
        SnapshotHeatmap(FeatureHeatmap(compiled, "_orig_mod"))
    SnapshotHeatmap(FeatureHeatmap(model, ""))(IMAGES)


def test_a_model_that_cannot_be_copied():
    model = nn.Conv2d(3, 3, 1)
    model.of_the_user = threading.Lock()
    expected = "a snapshot is a deep copy of the model, but Conv2d cannot be copied: cannot pickle '_thread.lock'"
    with pytest.raises(TypeError, match=expected):
        SnapshotHeatmap(FeatureHeatmap(model, ""))


def wider(model):
    model.another = nn.Linear(2, 3)


def reshaped(model):
    model.parts[1] = nn.Parameter(torch.zeros(7))


def lost(model):
    model.unsaved = None


CHANGES = [
    (wider, r"'another\.bias' was missing and is torch\.float32 \[3\] on cpu"),
    (reshaped, r"'parts\.1' was torch\.float32 \[262144\] on cpu and is torch\.float32 \[7\] on cpu"),
    (lost, r"'unsaved' was torch\.float32 \[262144\] on cpu and is missing"),
    (lambda model: model.double(), r"'parts\.0' was torch\.float32 .* and is torch\.float64"),
    (lambda model: model.to("meta"), r"'parts\.0' was .* on cpu and is .* on meta"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=lambda v: getattr(v, "__name__", ""))
def test_a_model_that_has_changed_since(change, message):
    model = Versions(pause=0)
    snapshot = a_snapshot(model)
    model.train_to(1)
    snapshot.step()
    model.train_to(2)
    change(model)
    for _ in range(3):  # whichever copy it is
        with pytest.raises(ValueError, match=f"the model has changed since its snapshot was made: {message}"):
            snapshot.step()
        assert version(snapshot) == 1
