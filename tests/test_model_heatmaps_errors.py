"""What dali_ops.model_heatmaps refuses: when the pipeline is made, or when it runs."""

import pytest

pytest.importorskip("nvidia.dali")
torch = pytest.importorskip("torch")

import dali_ops
from dali_ops import bridge
from dalimix.heatmaps import FeatureHeatmap
from tests.guided import a_model, a_provider, guided
from tests.names import text
from tests.pipelines import BATCH, build, images_and_labels, run


@pytest.fixture(params=["whole batch", "by sample"])
def way(request, monkeypatch):
    if request.param == "by sample":
        monkeypatch.setattr(bridge, "_WholeBatch", None)
    return request.param


class Broken(torch.nn.Module):
    def forward(self, images):
        raise ArithmeticError("this model cannot count")


WRONG = [
    (lambda images: images[1:, 0].float(), r"provider must return \[6, h, w\] for 6 images, got \[5, 32, 48\]"),
    (lambda images: images.float(), r"provider must return \[6, h, w\] for 6 images, got \[6, 3, 32, 48\]"),
    (lambda images: images[:, 0].float().numpy(), r"provider must return a tensor \[B, h, w\], got <class 'numpy.nd"),
    (lambda images: torch.empty(6, 2, 2, device="meta"), "heatmaps on cpu, got them on meta"),
    (FeatureHeatmap(a_model().to("meta"), "3"), r"the model is on meta but the images are on cpu: move it with"),
    (FeatureHeatmap(Broken(), ""), "this model cannot count"),
    (lambda images: torch.full((6, 2, 2), torch.nan), "heatmap of sample 0 is NaN all over"),
]


@pytest.mark.parametrize(("provider", "message"), WRONG, ids=lambda v: text(v)[:30])
def test_errors_name_the_cause_and_the_pipeline_can_be_built_anew(way, provider, message):
    with pytest.raises(RuntimeError, match=message):
        run(build(guided(provider)))
    assert len(run(build(guided(a_provider())))) == 1


class Returns(torch.nn.Module):
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


@pytest.mark.parametrize(("output", "message"), NO_PREDICTIONS, ids=lambda v: text(v)[-20:])
def test_what_is_no_prediction(way, output, message):
    provider = FeatureHeatmap(Returns(output), "look")

    def body(**options):
        return dali_ops.model_heatmaps(images_and_labels()[0], provider, **options)

    with pytest.raises(RuntimeError, match=message):
        run(build(lambda: body(predictions=True)))
    assert len(run(build(body))) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"provider": None},
            TypeError,
            "a provider of heatmaps must be callable, as those of dalimix.heatmaps, got NoneType",
        ),
        (
            {"provider": lambda images: images[:, 0], "predictions": True},
            TypeError,
            "predictions=True needs a provider with observe, as those of dalimix.heatmaps, got function",
        ),
        ({"layout": "NHWC"}, ValueError, "layout must be one of .*, got 'NHWC'"),
        ({"device": "tpu"}, ValueError, "device must be 'cpu' or 'gpu', got 'tpu'"),
    ],
)
def test_errors_when_the_pipeline_is_made(options, error, message):
    with pytest.raises(error, match=message):
        build(lambda: dali_ops.model_heatmaps(images_and_labels()[0], **{"provider": a_provider(), **options}))


def test_a_provider_in_the_place_of_its_heatmaps():
    def body():
        return dali_ops.attentive_cutmix(*images_and_labels(), heatmaps=a_provider(), num_classes=BATCH)

    with pytest.raises(TypeError, match="heatmaps must be a pipeline node, such as .*, got FeatureHeatmap"):
        build(body)


def test_images_of_another_layout(way):
    with pytest.raises(RuntimeError, match=r"images \[6, 3, 32, 48\] look like CHW, but layout is 'HWC'"):
        run(build(lambda: dali_ops.model_heatmaps(images_and_labels(layout="CHW")[0], a_provider())))


def test_an_error_names_the_operator():
    with pytest.raises(RuntimeError, match=r"operator .*ModelHeatmaps"):
        run(build(guided(FeatureHeatmap(Broken(), ""))))
    with pytest.raises(RuntimeError, match=r"operator .*Mix"):
        run(build(lambda: dali_ops.cutmix(*images_and_labels())))
