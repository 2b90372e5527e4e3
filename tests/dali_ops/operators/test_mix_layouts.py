"""The layout of the images that come into an operator: the node's own, and the output's."""

from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn, newaxis

import dali_ops
from dali_ops.operators.nodes import NodeLayout, layout_of_images
from dalimix import CutMix, TokenMix
from tests.support.pipelines import BATCH, array, build, images_and_labels

SIDE = 16


def filled(layout, channels, laid_out=True):
    """A node of images that are filled with their numbers."""
    shape = [{"H": SIDE, "W": SIDE, "C": channels, "F": 2}[axis] for axis in layout]
    samples = [np.full(shape, k, np.uint8) for k in range(BATCH)]
    return fn.external_source(lambda: samples, batch=True, **({"layout": layout} if laid_out else {}))


def mixed(images, method=None, runs=3, executor=None, **options):
    """Layout of the outputs, images and targets of some batches."""

    def body():
        labels = images_and_labels()[1]
        return dali_ops.mix(images(), labels, method or CutMix(), num_classes=BATCH, **options)[:2]

    pipeline = build(body, **(executor or {}))
    layouts, *parts = zip(*(_copied(pipeline.run()) for _ in range(runs)), strict=True)
    return layouts[0], *map(np.concatenate, parts)


def _copied(outputs):
    """Before the next run, which may take the memory again."""
    return outputs[0].layout(), *map(array, outputs)


def check(images, targets):
    """Every pixel names its image: their shares are the labels, so that nothing was cut along a wrong axis."""
    means = images.reshape(len(images), -1).mean(1)
    assert np.allclose(means, targets @ np.arange(BATCH), atol=1e-3)
    assert (targets.max(1) < 1).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7, 24])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_the_layout_of_the_node(layout, channels):
    own, images, targets = mixed(lambda: filled(layout, channels))
    assert own == layout
    assert images.shape[1 + layout.index("C")] == channels
    check(images, targets)


@pytest.mark.parametrize("executor", [{}, {"exec_dynamic": False}], ids=["dynamic", "static"])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_every_way_and_executor_passes_it_on(way, layout, executor):
    own, images, targets = mixed(lambda: filled(layout, 2), executor=executor)
    assert (own, images.shape[1 + layout.index("C")]) == (layout, 2)
    check(images, targets)


@pytest.mark.parametrize("method", [CutMix(), TokenMix(grid=4)], ids=["CutMix", "TokenMix"])
def test_more_outputs_than_inputs_pass_it_on(way, method):
    def body():
        images, labels, plan = dali_ops.mix(
            filled("CHW", 1), images_and_labels()[1], method, form="pair", return_plan=True
        )
        return images, *labels, *plan.arrays()

    layouts = [output.layout() for output in build(body).run()]
    assert layouts == ["CHW"] + [""] * (len(layouts) - 1)
    assert len(layouts) > 8


def test_behind_operators_and_with_another_layout_coming_out(way):
    own, images, targets = mixed(lambda: fn.transpose(filled("HWC", 2), perm=[2, 0, 1]), output_layout="HWC")
    assert (own, images.shape[1:]) == ("HWC", (SIDE, SIDE, 2))
    check(images, targets)


def test_the_users_word_where_the_node_has_none(way):
    own, images, targets = mixed(lambda: filled("CHW", 1, laid_out=False), layout="CHW")
    assert own == "CHW"
    check(images, targets)


def test_hwc_where_nobody_says_anything():
    own, images, targets = mixed(lambda: filled("HWC", 1, laid_out=False))
    assert (own, images.shape[1:]) == ("", (SIDE, SIDE, 1))
    check(images, targets)


def test_a_channel_for_grey_images():
    own, images, targets = mixed(lambda: filled("HW", 1)[:, :, newaxis("C")])
    assert (own, images.shape[1:]) == ("HWC", (SIDE, SIDE, 1))
    check(images, targets)


WRONG: dict[str, Any] = {
    "contradiction": (("HWC", 3), {"layout": "CHW"}, "images has layout 'HWC', but layout is 'CHW'"),
    "grey": (("HW", 1), {}, r"images has layout 'HW', .*: give grey images a channel: images\[:, :, dali.newaxis"),
    "video": (("FHWC", 3), {}, "images has layout 'FHWC', but 'HWC' or 'CHW' is expected: mix single images"),
    "grey, unsaid": (("HW", 1, False), {}, r"images must be .*: a channel axis is missing, which fn.expand_dims"),
    "video, unsaid": (("FHWC", 3, False), {}, r"images must be a batch \[B, H, W, C\], got shape"),
    "unsaid": (("CHW", 1, False), {}, r"images \[6, 1, 16, 16\] look like CHW, .*: give layout='CHW'"),
    "unsaid, two channels": (("CHW", 2, False), {}, r"images \[6, 2, 16, 16\] look like CHW, .*: give layout='CHW'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(way, case):
    images, options, message = WRONG[case]
    with pytest.raises(RuntimeError, match=message):
        mixed(lambda: filled(*images), **options)
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError, match=message):
        build(lambda: dali_ops.model_heatmaps(filled(*images), lambda x: torch.ones(len(x), 2, 2), **options)).run()


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_a_provider_gets_channels_first(way, layout):
    torch, seen = pytest.importorskip("torch"), []

    def provider(images, labels):
        seen.append((tuple(images.shape), images[:, 0, 0, 0].tolist(), labels.tolist()))
        return torch.ones(len(images), 2, 2)

    build(lambda: dali_ops.model_heatmaps(filled(layout, 2), provider, images_and_labels()[1])).run()
    assert seen[0] == ((BATCH, 2, SIDE, SIDE), list(range(BATCH)), list(range(BATCH)))


def test_a_node_is_asked_once():
    class Rows(list):
        asked = 0

        def __getitem__(self, k):
            Rows.asked += 1
            return np.array([*b"CHW", -1, 2, 16, 16])

    layout = NodeLayout(None)
    assert [layout.of(Rows(), (6, 2, 16, 16)) for _ in range(3)] == ["CHW"] * 3
    assert Rows.asked == 1


def test_where_nothing_is_known_the_user_is_believed():
    assert NodeLayout("CHW").of(None, (6, 2, 16, 16)) == "CHW"
    assert layout_of_images(None, "", (6, 16, 16, 7)) == "HWC"
