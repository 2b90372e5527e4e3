"""What dali_ops.model_heatmaps refuses: when the pipeline is made, or when it runs."""

from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn
from torch import nn

import dali_ops
from dalimix.heatmaps import FeatureHeatmap
from tests.support.models.guided import a_model, a_provider, guided
from tests.support.pipelines import BATCH, build, images_and_labels, run


class Broken(nn.Module):
    def forward(self, images):
        raise ArithmeticError("this model cannot count")


WRONG = [
    (lambda images: images[1:, 0].float(), r"provider must return a tensor \[6, h, w\], got \[5, 32, 48\]"),
    (lambda images: images.float(), r"provider must return a tensor \[6, h, w\], got \[6, 3, 32, 48\]"),
    (lambda images: images[:, 0].float().numpy(), r"provider must return a tensor \[6, h, w\], got <class 'numpy.nd"),
    (lambda images: torch.empty(6, 2, 2, device="meta"), r"a tensor \[6, h, w\] on cpu, got it on meta"),
    (FeatureHeatmap(a_model().to("meta"), "3"), r"the model is on meta but the images are on cpu: move it with"),
    (FeatureHeatmap(Broken(), ""), "this model cannot count"),
    (lambda images: torch.full((6, 2, 2), torch.nan), r"heatmaps\[0\] has NaN in it"),
]


@pytest.mark.parametrize(("provider", "message"), WRONG, ids=[case[1] for case in WRONG])
def test_errors_name_the_cause_and_the_pipeline_can_be_built_anew(way, provider, message):
    with pytest.raises(RuntimeError, match=message):
        run(build(guided(provider)))
    assert len(run(build(guided(a_provider())))) == 1


class Returns(nn.Module):
    """A feature map that can be watched, and an output of any kind."""

    def __init__(self, output):
        super().__init__()
        self.look, self.output = torch.nn.Identity(), output

    def forward(self, images):
        self.look(images)
        return self.output(images)


NO_PREDICTIONS = [
    (lambda images: images, r"must return a tensor \[6, classes\], got \[6, 3, 32, 48\]"),
    (lambda images: images[1:, :, 0, 0], r"must return a tensor \[6, classes\], got \[5, 3\]"),
    (lambda images: images[:, :0, 0, 0], r"must return a tensor \[6, classes\], got \[6, 0\]"),
    (lambda images: {"name": "nothing"}, r"must return a tensor \[6, classes\], got <class 'dict'>"),
    (lambda images: torch.empty(6, 2, device="meta"), r"must return a tensor \[6, classes\] on cpu, got it on meta"),
]


@pytest.mark.parametrize(("output", "message"), NO_PREDICTIONS, ids=[case[1] for case in NO_PREDICTIONS])
def test_what_is_no_prediction(way, output, message):
    provider = FeatureHeatmap(Returns(output), "look")

    def body(**options):
        return dali_ops.model_heatmaps(images_and_labels()[0], provider, **options)

    with pytest.raises(RuntimeError, match=message):
        run(build(lambda: body(predictions=True)))
    assert len(run(build(body))) == 1


NOT_MADE = [
    ({"provider": torch.nn.Identity()}, TypeError, "provider is a model, Identity, .*: give a .*FeatureHeatmap"),
    ({"provider": None}, TypeError, "provider of heatmaps must be callable, as those of .*, got NoneType"),
    ({"provider": FeatureHeatmap}, TypeError, "provider of heatmaps must be callable, .*, got ABCMeta"),
    ({"provider": lambda images: images[:, 0], "predictions": True}, TypeError,
     "predictions=True needs a provider with observe, as those of dalimix.heatmaps, got function"),
    ({"predictions": 1}, TypeError, "predictions must be True or False, got 1"),
    ({"images": torch.zeros(6, 3, 8, 8)}, TypeError, "images must be a pipeline node, .* got Tensor; .*BatchMixer"),
    ({"labels": [1, 2]}, TypeError, "labels must be a pipeline node, .* got list"),
    ({"layout": "NHWC"}, ValueError, "layout must be one of .*, got 'NHWC'"),
    ({"device": "tpu"}, ValueError, "device must be 'cpu' or 'gpu', got 'tpu'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), NOT_MADE, ids=[case[2] for case in NOT_MADE])
def test_errors_when_the_pipeline_is_made(options, error, message):
    def body():
        return dali_ops.model_heatmaps(**{"images": images_and_labels()[0], "provider": a_provider(), **options})

    with pytest.raises(error, match=message):
        build(body)


def test_a_provider_that_takes_no_labels():
    def body():
        images, labels = images_and_labels()
        return dali_ops.model_heatmaps(images, lambda images: images[:, 0], labels)

    with pytest.raises(TypeError, match=r"labels: the provider .*<lambda> takes no labels; give one that is called as"):
        build(body)


def test_a_provider_in_the_place_of_its_heatmaps():
    def body():
        return dali_ops.attentive_cutmix(*images_and_labels(), heatmaps=a_provider(), num_classes=BATCH)

    with pytest.raises(TypeError, match="heatmaps must be a pipeline node, such as .*, got FeatureHeatmap"):
        build(body)


def test_a_model_in_the_place_of_its_heatmaps():
    def body():
        return dali_ops.attentive_cutmix(*images_and_labels(), heatmaps=torch.nn.Identity(), num_classes=BATCH)

    with pytest.raises(TypeError, match="heatmaps is a model, Identity, .*: give dali_ops.model_heatmaps"):
        build(body)


def test_a_model_outside_of_a_pipeline():
    with pytest.raises(RuntimeError, match="model_heatmaps must be called where a pipeline is .*provider itself"):
        dali_ops.model_heatmaps(images_and_labels()[0], a_provider())


def test_images_of_another_layout(way):
    with pytest.raises(RuntimeError, match=r"images has layout 'CHW', but layout is 'HWC': leave layout out"):
        run(build(lambda: dali_ops.model_heatmaps(images_and_labels(layout="CHW")[0], a_provider(), layout="HWC")))


NOT_IMAGES: dict[str, Any] = {
    "encoded": (30, r"got uint8 \[30\]: decode before mixing, as fn.decoders.image"),
    "grey": ((8, 8), r"got uint8 \[8, 8\]: a channel axis is missing, which fn.expand_dims"),
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_nodes_that_are_not_images_yet(way, name):
    shape, message = NOT_IMAGES[name]

    def body():
        samples = fn.external_source(lambda: [np.zeros(shape, np.uint8)] * BATCH, batch=True)
        return dali_ops.model_heatmaps(samples, a_provider())

    with pytest.raises(RuntimeError, match=message):
        run(build(body))


def test_labels_that_are_none(way):
    def body():
        scores = fn.external_source(lambda: [np.zeros(3, np.float32)] * BATCH, batch=True)
        return dali_ops.model_heatmaps(images_and_labels()[0], lambda images, labels: images[:, 0], scores)

    with pytest.raises(RuntimeError, match=r"labels must be one class index for each image, got \[6, 3\]"):
        run(build(body))


def test_an_error_names_the_operator():
    with pytest.raises(RuntimeError, match=r"operator .*ModelHeatmaps"):
        run(build(guided(FeatureHeatmap(Broken(), ""))))
    with pytest.raises(RuntimeError, match=r"operator .*Mix"):
        run(build(lambda: dali_ops.cutmix(*images_and_labels())))
