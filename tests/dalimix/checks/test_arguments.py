"""Values that people give at the level of arrays: taken as they are meant, or refused with what to do."""

import re
import sys
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dalimix
from dalimix import AttentiveCutMix, CutMix, Draws, Method, MixPlan, Mixup, RandomChoice, SMMix, TokenMix, cpu
from tests.support.cases import assert_same_images, assert_same_plan

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
LABELS = np.array([0, 3, 1, 2])


def a_plan() -> MixPlan:
    return dalimix.plan(CutMix(), dalimix.draw(CutMix(), 4, 0), 8)


def compose(images: Any, **given: Any) -> np.ndarray:
    return dalimix.compose(images, a_plan(), **given)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(("images", "message"), [
    (IMAGES.astype("float64"), "got float64: convert with images.astype('float32')"),
    (IMAGES.astype(">f4"), "got >f4: convert with images.astype('float32')"),
    (IMAGES.astype("int64"), "got int64: bytes are images.astype('uint8')"),
    (IMAGES[0], "got shape (8, 8, 3): one image alone is images[None], grey images are images[..., None]"),
    (IMAGES[:0], "got shape (0, 8, 8, 3): leave batches without images out"),
    (list(IMAGES), "images must be a NumPy or CuPy array, got a list: make one with numpy.asarray"),
    (np.float32(1), "images must be a NumPy or CuPy array, got numpy.float32"),
    (np.random.default_rng(0), "images must be a NumPy or CuPy array, got numpy.Generator"),
], ids=["float64", "big-endian", "int64", "one image", "no image", "list", "scalar", "generator"])  # fmt: skip
def test_images_that_are_refused(images: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        compose(images)


@pytest.mark.parametrize("method", [CutMix(), RandomChoice([Mixup(), CutMix()])], ids=lambda method: method.name)
def test_a_method_whose_planner_is_not_imported(monkeypatch: pytest.MonkeyPatch, method: Method) -> None:
    monkeypatch.delitem(cpu.PLANNERS, "cutmix")
    said = "method CutMix has no planner 'cutmix' in dalimix.cpu: import the planner's module in its __init__.py"
    with pytest.raises(ValueError, match=said):
        dalimix.plan(method, dalimix.draw(method, 4, 0), 8)


@pytest.mark.parametrize("kind", ["float16", "fp16", np.float16, np.dtype(">f2"), "half"], ids=str)
def test_dtypes_by_any_name(kind: Any) -> None:
    assert_same_images(compose(IMAGES, dtype=kind), compose(IMAGES).astype("float16"))


NORMALISED = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
BYTES = {  # how they come out of images of 0 … 1, or stay bytes
    "of one": (IMAGES / np.float32(255), {"std": 1 / 255}),
    "plain": (IMAGES, {"mean": 0, "std": 1}),
    "half as bright": (IMAGES, {"std": 2}),
    "12-bit window": (IMAGES * np.float32(16), {"mean": 200, "std": 10.98}),
    "14-bit black level": (IMAGES * np.float32(64), {"mean": 512, "std": 62.24}),
    "bone window": (IMAGES * np.float32(8), {"mean": 150, "std": 7.25}),
    "brain window": (IMAGES * np.float32(1), {"mean": 10, "std": 0.2745}),
    "video range": (IMAGES, {"mean": 16, "std": 219 / 255}),
    "of 16 bits": (IMAGES * np.float32(257), {"mean": 0, "std": 257}),
    "of 12 bits": (IMAGES * np.float32(4095 / 255), {"std": 4095 / 255}),
    "contrast": (IMAGES, {"mean": 64, "std": (1, 1, 1.1)}),
}


@pytest.mark.parametrize("scaling", [NORMALISED, {"mean": 127.5, "std": 127.5}, {"mean": 0.45, "std": 0.22}], ids=str)
def test_uint8_is_not_for_normalised_images(scaling: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="dtype is uint8.*no place for normalised.*give mean=0 and std=1, or dtype="):
        compose(IMAGES / np.float32(255) if scaling["std"] == 0.22 else IMAGES, **scaling, dtype="uint8")


@pytest.mark.parametrize("name", BYTES)
def test_uint8_of_what_is_bright(name: str) -> None:
    images, scaling = BYTES[name]
    assert compose(images, **scaling | {"dtype": "uint8"}).max() > 100


@pytest.mark.parametrize("kind", ["bfloat16", "bf16", ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16)], ids=str)
def test_bfloat16_by_any_name(kind: Any) -> None:
    assert_same_images(compose(IMAGES, std=3, dtype=kind), compose(IMAGES, std=3).astype(ml_dtypes.bfloat16))


def test_units_of_bfloat16_are_those_of_its_numbers() -> None:
    images = (IMAGES / 255).astype(ml_dtypes.bfloat16)
    with pytest.raises(ValueError, match="mean and std must be in the units of the images.*divide both by 255"):
        compose(images, **NORMALISED)
    assert compose(images, mean=0.45, std=0.22).dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_bits_are_no_images_and_no_dtype(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"images must have dtype .*, bfloat16, float32, got {kind.__name__}"):
        compose(IMAGES.astype(kind))
    with pytest.raises(TypeError, match=f"dtype must be uint8, float16, bfloat16, float32, got {kind.__name__}"):
        compose(IMAGES, dtype=kind)


def test_arrays_in_bfloat16_need_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ModuleNotFoundError, match="bfloat16 in NumPy and CuPy arrays needs ml_dtypes: pip install"):
        compose(IMAGES, dtype="bfloat16")


def test_arrays_of_any_strides_and_rights() -> None:
    flipped = read_only(IMAGES[:, ::-1, ::-1])
    assert_same_images(compose(flipped[:, ::-1, ::-1]), compose(IMAGES))
    mean = np.array([1, 2, 3], ">f4")
    assert_same_images(compose(IMAGES, mean=mean, std=np.float16(4)), compose(IMAGES, mean=[1, 2, 3], std=4))
    plan = a_plan()
    for labels in (read_only(LABELS), LABELS.astype(">i8"), LABELS.astype(np.uint8), np.repeat(LABELS, 2)[::2]):
        wanted = dalimix.soft_labels(LABELS, plan, num_classes=np.int16(4))
        np.testing.assert_array_equal(dalimix.soft_labels(labels, plan, num_classes=4), wanted)
        own, other, _ = dalimix.soft_labels(labels, plan, form="pair")
        assert own.dtype.isnative
        assert other.tolist() == LABELS[plan.partner].tolist()


@pytest.mark.parametrize(("labels", "message"), [
    (np.array(["cat", "dog", "cat", "ant"]), "got <U3 [4]: number the classes, as numpy.unique(labels, return_in"),
    (np.array(["cat", 1, None, 2], object), "got object [4]: number the classes"),
    (LABELS.astype(float), "got float64 [4]: class indices are labels.astype('int64')"),
    (["cat"] * 4, "labels must be a NumPy or CuPy array, got a list: make one with numpy.asarray"),
    (np.zeros((4, 0)), "labels must be integer [4] or floating [4, classes], got float64 [4, 0]"),
    (np.array(3), "labels must be integer [4] or floating [4, classes], got int64 []"),
], ids=["strings", "objects", "floats", "list", "no classes", "one number"])  # fmt: skip
def test_labels_that_are_refused(labels: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        dalimix.soft_labels(labels, a_plan(), num_classes=4)


def test_a_size_is_one_number_or_two() -> None:
    drawn = dalimix.draw(CutMix(), 4, 0)
    for size in (8, np.int64(8), [8, 8], (np.int8(8), 8)):
        plan = dalimix.plan(CutMix(), drawn, size)
        assert_same_plan(plan, dalimix.plan(CutMix(), drawn, (8, 8)))
        assert plan.size == (8, 8)


RNG = "rng must be a numpy.random.Generator, a torch.Generator, a whole number as the seed, or None, got"


@pytest.mark.parametrize(("rng", "message"), [
    (np.random.RandomState(0), f"{RNG} RandomState"),
    ("x", f"{RNG} 'x'"),
    (True, f"{RNG} True"),
    (1.5, f"{RNG} 1.5"),
    (-1, "rng must be a seed from 0, got -1"),
], ids=["RandomState", "string", "bool", "float", "below 0"])  # fmt: skip
def test_generators_that_are_refused(rng: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        dalimix.draw(CutMix(), 4, rng)


def test_a_tensor_is_no_generator() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=re.escape(f"{RNG} tensor")):
        dalimix.draw(CutMix(), 4, torch.zeros(2))
    seeded = dalimix.draw(CutMix(), np.int32(4), np.int64(7))
    assert seeded.uniform.tolist() == dalimix.draw(CutMix(), 4, 7).uniform.tolist()


@pytest.mark.parametrize("size", [1 << 21, 1 << 40])
def test_a_batch_beyond_reason_is_refused_before_memory_is(size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size must be at most 1048576, got {size}"):
        dalimix.draw(CutMix(), size)
    with pytest.raises(ValueError, match="num_classes must be at most 16777216"):
        dalimix.soft_labels(LABELS, a_plan(), num_classes=size << 10)


SMALL = np.int8(14)  # whose square is none


@pytest.mark.parametrize(("given", "plain"), [
    (lambda: TokenMix(grid=SMALL, min_tokens=SMALL), TokenMix()),
    (lambda: SMMix(np.float16(0.25), np.float16(0.75), SMALL), SMMix()),
    (lambda: SMMix(grid=[SMALL, SMALL]), SMMix(grid=(14, 14))),
    (lambda: AttentiveCutMix(top=[SMALL, SMALL], grid=SMALL), AttentiveCutMix((14, 14), 14)),
    (lambda: CutMix(alpha=np.float64(1), ratio_minmax=np.array([0.25, 0.5], np.float64).tolist()),
     CutMix(1, (0.25, 0.5))),
    (lambda: CutMix(correct_lam=np.False_, prob=np.float32(0.5)), CutMix(correct_lam=False, prob=0.5)),
    (lambda: RandomChoice(p=np.array([0.25, 0.75], np.float32)), RandomChoice(p=[0.25, 0.75])),
], ids=["token_mix", "smmix", "smmix of two", "attentive_cutmix", "cutmix", "truth", "random_choice"])  # fmt: skip
def test_methods_take_numbers_of_numpy_and_keep_those_of_python(given: Callable[[], Any], plain: Method) -> None:
    method = given()
    assert method == plain
    assert hash(method) == hash(plain)
    assert repr(method) == repr(plain)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: CutMix(correct_lam="x"), "CutMix: correct_lam must be True or False, got 'x'"),
    (lambda: CutMix(correct_lam=1), "CutMix: correct_lam must be True or False, got 1"),
    (lambda: Mixup(alpha=1e308), "Mixup: alpha must be from 1e-30 to 1e+30, got 1e+308"),
    (lambda: Mixup(alpha=10**400), "Mixup: alpha must be from 1e-30 to 1e+30, got 1000"),
    (lambda: CutMix(per=np.array(["pair"])), "CutMix: per must be one of"),
    (lambda: TokenMix(grid=1 << 80), "TokenMix: grid must be a whole number from 2 to 32, got 12089258"),
    (lambda: RandomChoice(p="ab"), "RandomChoice: p must be a list of chances, one per method, got 'ab'"),
    (lambda: RandomChoice(p=5), "RandomChoice: p must be a list of chances, one per method, got 5"),
    (lambda: RandomChoice(p=[10**400, 0]), "RandomChoice: p must be chances that add up to 1"),
    (lambda: dalimix.draw(Method(), 4), "method must be one that can be planned, such as dalimix.CutMix()"),
    (lambda: MixPlan(None, *[LABELS] * 4), "plan.partner must be an array, got None"),
    (lambda: MixPlan(*[LABELS] * 5, size="ab"), "plan.size must be (H, W) in pixels"),
    (lambda: Draws(LABELS, 0.5, LABELS), "draws.lam must be an array, got 0.5"),
    (lambda: Draws(LABELS, LABELS, LABELS, [1]), "draws.members must be dalimix.Draws, one for each method, got [1]"),
    (lambda: Draws(LABELS, LABELS, LABELS).mapped(3), "function must be one that takes an array, got 3"),
    (lambda: dalimix.plan(CutMix(), 0, 8), "draws must be a dalimix.Draws, such as that of dalimix.draw, got 0"),
    (lambda: dalimix.compose(IMAGES, 0), "plan must be a dalimix.MixPlan, such as that of dalimix.plan, got 0"),
    (lambda: compose(IMAGES, output_layout="x"), "output_layout must be one of ('HWC', 'CHW'), got 'x'"),
    (lambda: compose(IMAGES, layout=np.array(["HWC"])), "layout must be one of ('HWC', 'CHW')"),
    (lambda: compose(IMAGES, mean=1e300, std=2), "mean and std must be numbers that float32 can divide"),
], ids=lambda value: value[:50] if isinstance(value, str) else "")  # fmt: skip
def test_what_is_wrong_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(message)):
        make()


@pytest.mark.parametrize("number", [np.float16(0.1), np.float32(0.1), np.longdouble(0.1)], ids=lambda n: n.dtype.name)
@pytest.mark.filterwarnings("error")
def test_numbers_of_any_precision(number: Any) -> None:
    plan = a_plan()
    wanted = dalimix.soft_labels(LABELS, plan, 4, smoothing=float(number))
    np.testing.assert_array_equal(dalimix.soft_labels(LABELS, plan, 4, smoothing=number), wanted)
    assert Mixup(number, prob=number) == Mixup(float(number), prob=float(number))
    sample = dalimix.draw(CutMix(), np.uint8(200), rng=0).partner
    np.testing.assert_array_equal(sample, dalimix.draw(CutMix(), 200, rng=0).partner)


def test_chances_add_up_in_full_precision() -> None:
    with pytest.raises(ValueError, match="p must be chances that add up to 1"):
        RandomChoice([Mixup(), CutMix(), TokenMix()], p=[np.float16(1 / 3)] * 3)


MASKED = np.ma.MaskedArray(IMAGES, mask=True)
WEIGHTS = np.eye(4, dtype=np.float32)
MASKS: dict[str, Callable[[], object]] = {
    "images": lambda: compose(MASKED),
    "mirror": lambda: compose(IMAGES, mirror=np.ma.MaskedArray(LABELS, mask=LABELS > 1)),
    "labels": lambda: dalimix.soft_labels(np.ma.MaskedArray(LABELS, mask=LABELS > 1), a_plan(), 4),
    "heatmaps": lambda: dalimix.plan(
        AttentiveCutMix(2, grid=4), dalimix.draw(AttentiveCutMix(2, grid=4), 4, 0), 8, np.ma.ones((4, 4, 4), "float32")
    ),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_not_ignored(name: str) -> None:
    expected = f"{name} must be a NumPy or CuPy array, got a MaskedArray, whose mask would be ignored: fill it"
    with pytest.raises(TypeError, match=expected):
        MASKS[name]()


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_no_array_but_a_subclass_may_be_one() -> None:
    with pytest.raises(TypeError, match=r"got a matrix, .*: make an array of it with numpy.asarray"):
        dalimix.soft_labels(np.matrix(WEIGHTS), a_plan())
    assert_same_images(compose(IMAGES.view(np.recarray)), compose(IMAGES))
