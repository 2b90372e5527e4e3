"""What is handed in wrongly is refused, and the error names what came and what was expected."""

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dalimix
from dalimix import CutMix, Draws, Method, MixPlan, Mixup, RandomChoice
from dalimix.dispatch import backend_of
from tests.support.backends import use_host_kernels

SIZE = (8, 32)
IMAGES = np.zeros((4, *SIZE, 3), np.uint8)
LABELS = np.arange(4)


WRONG_WAY = np.zeros((4, 3, *SIZE), np.uint8)
FLIPPED = Mixup(per="pair", pairing="flip")


@pytest.mark.parametrize("cls", [Mixup, CutMix, RandomChoice])
@pytest.mark.parametrize(("given", "message"), [
    ({"prob": -0.1}, r"prob must be in \[0, 1\], got -0.1"),
    ({"prob": 1.5}, r"prob must be in \[0, 1\], got 1.5"),
    ({"prob": float("nan")}, r"prob must be in \[0, 1\], got nan"),
    ({"per": "image"}, r"per must be one of \('sample', 'pair', 'batch'\), got 'image'"),
    ({"pairing": "next"}, r"pairing must be one of \('random', 'flip', 'roll'\), got 'next'"),
    ({"pairing": "roll", "per": "pair"}, "partners that are mutual.*got 'roll'"),
])  # fmt: skip
def test_fields_of_every_method(cls: type[Method], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"{cls.__name__}: .*{message}"):
        cls(**given)


@pytest.mark.parametrize("cls", [Mixup, CutMix])
@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), float("inf"), "1"])
def test_alpha(cls: Any, alpha: Any) -> None:
    with pytest.raises(ValueError, match=f"{cls.__name__}: alpha must be above 0, got {alpha!r}"):
        cls(alpha=alpha)


RATIOS = [(0.8, 0.2), (-0.1, 0.5), (0.5, 1.1), (0.5,), (0.1, 0.2, 0.3), (float("nan"), 0.5), 0.3]


@pytest.mark.parametrize("ratios", RATIOS, ids=str)
def test_ratio_minmax(ratios: Any) -> None:
    with pytest.raises(ValueError, match=r"ratio_minmax must be \(a, b\) with 0 <= a <= b <= 1, got"):
        CutMix(ratio_minmax=ratios)


@pytest.mark.parametrize(("given", "message"), [
    ({"methods": []}, "methods must not be empty"),
    ({"methods": [Mixup(), "cutmix"]}, "methods must be instances of mixing methods"),
    ({"methods": [Mixup, CutMix]}, "methods must be instances of mixing methods"),
    ({"p": [1.0]}, r"p must have 2 chances, one per method, got \(1.0,\)"),
    ({"p": [0.2, 0.3, 0.5]}, "p must have 2 chances"),
    ({"p": [0.5, 0.6]}, "p must be chances that add up to 1"),
    ({"p": [1.5, -0.5]}, "p must be chances that add up to 1"),
    ({"p": [float("nan"), 0.5]}, "p must be chances that add up to 1"),
    ({"pairing": "flip"}, "pairing belongs to the methods inside, got 'flip'"),
    ({"per": "pair"}, "per='pair' needs methods with per='pair' and one pairing"),
    ({"per": "pair", "methods": [Mixup(per="pair"), CutMix(per="pair", pairing="flip")]}, ".* one pairing"),
    ({"per": "pair", "methods": [RandomChoice([FLIPPED], per="pair"), Mixup(per="pair")]}, ".* one pairing"),
])  # fmt: skip
def test_random_choice(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"RandomChoice: {message}"):
        RandomChoice(**given)


def test_methods_are_frozen_and_compare_by_value() -> None:
    with pytest.raises(AttributeError):
        Mixup().alpha = 1.0
    assert RandomChoice([Mixup()]) == RandomChoice((Mixup(),), p=[1.0])
    assert len({CutMix(), CutMix(), CutMix(alpha=0.5), RandomChoice([Mixup()])}) == 3


def draws(method: Method | None = None) -> Draws:
    return dalimix.draw(method or CutMix(), 4, 0)


def a_plan() -> MixPlan:
    return dalimix.plan(CutMix(), draws(), SIZE)


def test_draws_of_another_method() -> None:
    with pytest.raises(ValueError, match=r"CutMix needs draws.uniform of \[4, 3\], got \[4, 1\]"):
        dalimix.plan(CutMix(), draws(Mixup()), SIZE)
    with pytest.raises(ValueError, match="draws are of 0 methods, but 2 are to be planned"):
        dalimix.plan(RandomChoice(), Draws(LABELS.astype(np.int32), None, np.zeros((4, 2), np.float32)), SIZE)
    with pytest.raises(ValueError, match="draws are of 1 methods, but 2 are to be planned"):
        dalimix.plan(RandomChoice(), draws(RandomChoice([Mixup()])), SIZE)
    with pytest.raises(ValueError, match=r"Mixup needs draws.uniform of \[4, 1\], got \[4, 3\]"):
        dalimix.plan(RandomChoice([Mixup(), CutMix()]), draws(RandomChoice([CutMix(), Mixup()])), SIZE)


def test_draws_without_lam() -> None:
    drawn = draws()
    with pytest.raises(ValueError, match=r"CutMix needs draws.lam of \[4\], got None"):
        dalimix.plan(CutMix(), Draws(drawn.partner, None, drawn.uniform), SIZE)
    with pytest.raises(ValueError, match=r"CutMix needs draws.lam of \[4\], got \[3\]"):
        dalimix.plan(CutMix(), Draws(drawn.partner, drawn.lam[:3], drawn.uniform), SIZE)
    with pytest.raises(ValueError, match=r"CutMix needs draws.uniform of \[3, 3\], got \[4, 3\]"):
        dalimix.plan(CutMix(), Draws(drawn.partner[:3], drawn.lam[:3], drawn.uniform), SIZE)


@pytest.mark.parametrize(
    "size", [(224,), (224, 224, 3), (0, 224), (224, -1), 224.0, True, (224.0, 224.0), "ab"], ids=str
)
def test_size(size: Any) -> None:
    with pytest.raises(ValueError, match=r"size must be \(H, W\) in pixels, whole numbers from 1.*, got"):
        dalimix.plan(CutMix(), draws(), size)


def test_heatmaps_for_a_method_that_reads_none() -> None:
    with pytest.raises(ValueError, match="CutMix reads no heatmaps, but heatmaps were given"):
        dalimix.plan(CutMix(), draws(), SIZE, heatmaps=np.zeros((4, 7, 7), np.float32))


MIRRORS = [
    (np.zeros(3, np.int32), ValueError, r"mirror must be \[4\], one entry per image, got shape \(3,\)"),
    (np.zeros((4, 2), np.int32), ValueError, r"mirror must be \[4\], one entry per image, got shape \(4, 2\)"),
    (np.zeros(4, np.float32), TypeError, "mirror must be integer or bool, got float32"),
]


@pytest.mark.parametrize(("mirror", "error", "message"), MIRRORS)
def test_mirror(mirror: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dalimix.compose(IMAGES, a_plan(), mirror=mirror)
    with pytest.raises(error, match=message):
        dalimix.plan(CutMix(), draws(), SIZE, mirror=mirror)


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"images": IMAGES[0]}, ValueError, r"images must be a batch \[B, H, W, C\], got shape \(8, 32, 3\)"),
    ({"images": IMAGES[..., 0], "layout": "CHW"}, ValueError, r"batch \[B, C, H, W\], got shape \(4, 8, 32\)"),
    ({"images": IMAGES[:, :0]}, ValueError, r"images must be a batch .* got shape \(4, 0, 32, 3\)"),
    ({"images": IMAGES[:3]}, ValueError, "plan has 4 entries but the batch has 3 images"),
    ({"images": IMAGES.astype(np.dtype(ml_dtypes.bfloat16).newbyteorder(">"))}, TypeError, "images must have dtype"),
    ({"images": IMAGES.astype("int8")}, TypeError, "images must have dtype uint8, .*, bfloat16, float32, got int8"),
    ({"images": IMAGES.astype(float)}, TypeError, "images must have dtype uint8, .*, float32, got float64"),
    ({"images": [IMAGES[0], IMAGES[1, :5]]}, TypeError, "images must be a NumPy or CuPy array, got a list"),
    ({"layout": "NHWC"}, ValueError, r"layout must be one of \('HWC', 'CHW'\), got 'NHWC'"),
    ({"output_layout": "WHC"}, ValueError, r"layout must be one of \('HWC', 'CHW'\), got 'WHC'"),
    ({"dtype": "float64"}, TypeError, "dtype must be uint8, float16, bfloat16, float32, got float64"),
    ({"dtype": "int8"}, TypeError, "dtype must be uint8, float16, bfloat16, float32, got int8"),
    ({"mean": [1, 2]}, ValueError, "mean has 2 entries but images has 3 channels"),
    ({"std": [1, 2, 3, 4]}, ValueError, "std has 4 entries but images has 3 channels"),
    ({"std": float("nan")}, ValueError, r"std must be finite and above 0, got \(nan, nan, nan\)"),
    ({"mean": "grey"}, TypeError, "mean must be one number, or one per channel, got 'grey'"),
    ({"mean": float("inf")}, ValueError, r"mean must be finite, got \(inf, inf, inf\)"),
    ({"std": -1}, ValueError, r"std must be finite and above 0, got \(-1.0, -1.0, -1.0\)"),
    ({"images": IMAGES[:, 1:]}, ValueError, r"plan is for images of \(8, 32\) pixels, but images are \(7, 32\)"),
    ({"images": WRONG_WAY}, ValueError, r"images \[4, 3, 8, 32\] look like CHW, but layout is 'HWC'"),
    ({"images": IMAGES, "layout": "CHW"}, ValueError, "look like HWC, but layout is 'CHW'"),
    ({"mirror": [0, 1, 0, 1]}, TypeError, "mirror must be a NumPy or CuPy array, got a list"),
    ({"output_layout": ""}, ValueError, "layout must be one of .*, got ''"),
    ({"std": 0}, ValueError, r"std must be finite and above 0, got \(0.0, 0.0, 0.0\)"),
    ({"std": [1, 0, 1]}, ValueError, r"std must be finite and above 0, got \(1.0, 0.0, 1.0\)"),
])  # fmt: skip
def test_compose(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dalimix.compose(**{"images": IMAGES, "plan": a_plan()} | given)


def test_torch_tensors_are_sent_to_the_batch_mixer() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"images must be .*, got torch.Tensor .*dalimix.torch.BatchMixer"):
        dalimix.compose(torch.from_numpy(IMAGES), a_plan())
    with pytest.raises(TypeError, match="BatchMixer"):
        dalimix.soft_labels(torch.from_numpy(LABELS), a_plan(), num_classes=4)


def test_arrays_of_two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", ModuleType("cupy"))
    on_a_gpu = type("ndarray", (), {"__module__": "cupy"})()
    with pytest.raises(TypeError, match="expected all arrays on one device, got NumPy and CuPy arrays"):
        backend_of(IMAGES, None, on_a_gpu)


@pytest.mark.parametrize(("given", "message"), [
    ({"labels": LABELS[:3]}, "labels has 3 entries but the batch has 4 images"),
    ({"labels": np.zeros((4, 2), np.int64)}, r"labels must be integer \[4\] or floating \[4, classes\], got int64"),
    ({"labels": np.zeros(4, np.float32)}, r"labels must be integer \[4\] or floating .* got float32 \[4\]"),
    ({"labels": np.zeros(4, bool)}, r"labels must be integer \[4\] or floating .* got bool \[4\]"),
    ({"num_classes": None}, "num_classes is missing: integer labels need it"),
    ({"num_classes": 0}, "num_classes must be a whole number from 1, got 0"),
    ({"labels": np.zeros((4, 5), np.float32)}, "num_classes is 10 but labels has 5 columns"),
    ({"smoothing": -0.1}, r"smoothing must be in \[0, 1\], got -0.1"),
    ({"smoothing": 1.1}, r"smoothing must be in \[0, 1\], got 1.1"),
    ({"form": "onehot"}, "form must be 'dense' or 'pair', got 'onehot'"),
    ({"form": "pair", "smoothing": 0.1}, "smoothing needs form='dense'"),
])  # fmt: skip
def test_soft_labels(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dalimix.soft_labels(**{"labels": LABELS, "plan": a_plan(), "num_classes": 10} | given)


@pytest.mark.parametrize("backend", ["host"], indirect=True)
def test_more_images_than_one_launch_takes(backend: Any) -> None:
    method = Mixup()
    plan = dalimix.plan(method, dalimix.draw(method, 65536, 0), (1, 1))
    with pytest.raises(ValueError, match="images has batch size 65536, more than the 65535 of one launch"):
        backend.compose(np.zeros((65536, 1, 1, 1), np.uint8), plan)


@pytest.mark.parametrize("given", [CutMix, "cutmix", None], ids=str)
def test_a_method_is_an_instance(given: Any) -> None:
    for use in (lambda: dalimix.draw(given, 4), lambda: dalimix.plan(given, draws(), SIZE)):
        with pytest.raises(TypeError, match="method must be an instance of a mixing method"):
            use()


def test_a_choice_is_among_a_list() -> None:
    with pytest.raises(ValueError, match="RandomChoice: methods must be a list of methods, got CutMix"):
        RandomChoice(CutMix())


def test_draws_of_another_type_or_stride_are_not_read_as_something_else() -> None:
    drawn, wide = draws(), dalimix.draw(CutMix(), 8, 0)
    with pytest.raises(TypeError, match="CutMix needs draws.partner of int32, got int64"):
        dalimix.plan(CutMix(), replace(drawn, partner=drawn.partner.astype(np.int64)), SIZE)
    with pytest.raises(TypeError, match="CutMix needs draws.lam of float32, got float64"):
        dalimix.plan(CutMix(), replace(drawn, lam=drawn.lam.astype(float)), SIZE)
    with pytest.raises(TypeError, match="CutMix needs draws.uniform of float32, got float64"):
        dalimix.plan(CutMix(), replace(drawn, uniform=drawn.uniform.astype(float)), SIZE)
    with pytest.raises(ValueError, match=r"CutMix needs draws.lam contiguous, got strides \(8,\)"):
        dalimix.plan(CutMix(), replace(drawn, lam=wide.lam[::2]), SIZE)


@pytest.mark.parametrize("field", ["partner", "weight", "blend", "box", "shift", "tokens"])
def test_plans_of_another_type_are_not_read_as_something_else(field: str) -> None:
    plan = replace(a_plan(), tokens=np.zeros((4, 2, 2), np.uint8))
    wrong = replace(plan, **{field: getattr(plan, field).astype(np.int64)})
    for use in (lambda: dalimix.compose(IMAGES, wrong), lambda: dalimix.soft_labels(LABELS, wrong, 4)):
        with pytest.raises(TypeError, match=f"plan.{field} must be of .*, got int64"):
            use()


def test_plans_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"plan.box must be of \[4, 4\], got \[4, 2\]"):
        dalimix.compose(IMAGES, replace(a_plan(), box=a_plan().shift))


def test_ratio_minmax_may_be_a_list() -> None:
    assert CutMix(ratio_minmax=[0.2, 0.8]) == CutMix(ratio_minmax=(0.2, 0.8))
    assert len({CutMix(ratio_minmax=[0.2, 0.8])}) == 1


def test_more_channels_than_the_kernel_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_host_kernels(monkeypatch)
    with pytest.raises(ValueError, match="images has 33 channels, more than the 32 of the kernel"):
        dalimix.compose(np.zeros((4, *SIZE, 33), np.uint8), a_plan())
