"""soft_labels: the targets of a planned batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dalimix
from dalimix import CutMix, MixPlan
from tests.support import by_hand
from tests.support.by_hand import Row

# Weights that add up to 1 and, as those of token mixes may, weights that do not.
WEIGHTS = [(0.3, 0.7), (1.0, 0.0), (0.6, 0.1), (0.25, 0.75), (0.0, 1.0)]
PARTNERS = [3, 1, 0, 4, 0]
LABELS = [2, 0, 5, 2, 2]  # images 0 and 3 are of one class, and so are 4 and its partner 0


def some_plan() -> MixPlan:
    return by_hand.stack([Row(partner, weight) for partner, weight in zip(PARTNERS, WEIGHTS, strict=True)])


def dense_by_hand(labels: Any, classes: int, smoothing: float) -> np.ndarray:
    """One entry at a time; labels are class indices, or rows of soft labels."""
    rows = np.zeros((len(PARTNERS), classes), np.float32)
    kept, spread = np.float32(1 - smoothing), np.float32(smoothing / classes)
    for i, c in np.ndindex(rows.shape):
        own, other = (np.float32(weight) for weight in WEIGHTS[i])
        first, second = (np.float32(share_of(labels[n], c)) for n in (i, PARTNERS[i]))
        rows[i, c] = kept * (own * first + other * second) + spread * (own + other)
    return rows


def share_of(label: Any, c: int) -> float:
    return float(label == c) if np.ndim(label) == 0 else float(label[c])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("shape", [(5,), (5, 1)], ids=str)
def test_dense(backend: Any, kind: str, shape: tuple[int, ...], smoothing: float) -> None:
    labels = np.array(LABELS, kind).reshape(shape)
    got = backend.soft_labels(labels, some_plan(), num_classes=6, smoothing=smoothing)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, dense_by_hand(LABELS, 6, smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_dense_of_soft_labels(backend: Any, kind: str, smoothing: float) -> None:
    labels = np.random.default_rng(0).dirichlet(np.ones(7), 5).astype(kind)
    got = backend.soft_labels(labels, some_plan(), smoothing=smoothing)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, dense_by_hand(labels.astype(np.float32), 7, smoothing))
    np.testing.assert_array_equal(got, backend.soft_labels(labels, some_plan(), num_classes=7, smoothing=smoothing))


def test_numbers_written_out(backend: Any) -> None:
    plan = by_hand.stack([Row(1, (0.75, 0.25)), Row(0, (0.5, 0.5))])
    got = backend.soft_labels(np.array([0, 2]), plan, num_classes=4, smoothing=0.5)
    assert got.tolist() == [[0.5, 0.125, 0.25, 0.125], [0.375, 0.125, 0.375, 0.125]]


def test_two_images_of_one_class_make_a_whole_label(backend: Any) -> None:
    plan = by_hand.stack([Row(1, (0.75, 0.25)), Row(0, (0.25, 0.75))])
    assert backend.soft_labels(np.array([1, 1]), plan, num_classes=3).tolist() == [[0, 1, 0]] * 2


def test_one_class(backend: Any) -> None:
    plan = by_hand.stack([Row(1, (0.75, 0.25)), Row(0, (0.25, 0.75))])
    assert backend.soft_labels(np.array([0, 0]), plan, num_classes=1, smoothing=0.25).tolist() == [[1.0], [1.0]]
    assert backend.soft_labels(np.array([[0.5], [1.0]]), plan).tolist() == [[0.625], [0.625]]


def test_rows_of_a_large_batch_add_up_to_1(backend: Any) -> None:
    method, labels = CutMix(), np.arange(300) % 1000
    plan = backend.plan(method, dalimix.draw(method, 300, 0), (224, 224))
    got = backend.soft_labels(labels, plan, num_classes=1000, smoothing=0.1)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    onehot = np.eye(1000, dtype=np.float32)[labels]
    mixed = plan.weight[:, :1] * onehot + plan.weight[:, 1:] * onehot[plan.partner]
    np.testing.assert_allclose(got, 0.9 * mixed + 0.1 / 1000, atol=1e-6)


def test_pair_form(backend: Any) -> None:
    plan, labels = some_plan(), np.array(LABELS)
    own, other, weight = backend.soft_labels(labels, plan, form="pair")
    assert own.tolist() == LABELS
    assert other.tolist() == [LABELS[partner] for partner in PARTNERS]
    np.testing.assert_array_equal(weight, plan.weight)
    own, other, _ = backend.soft_labels(labels[:, None], plan, form="pair")
    assert own.shape == other.shape == (5,)


def test_pair_form_of_soft_labels(backend: Any) -> None:
    labels = np.random.default_rng(0).random((5, 3), np.float32)
    own, other, _ = backend.soft_labels(labels, some_plan(), form="pair")
    np.testing.assert_array_equal(own, labels)
    np.testing.assert_array_equal(other, labels[PARTNERS])


def test_inputs_stay_as_they_are(backend: Any) -> None:
    plan, labels = some_plan(), np.array(LABELS, np.int64)
    before = [array.copy() for array in (labels, *plan.arrays())]
    backend.soft_labels(labels, plan, num_classes=6, smoothing=0.1)
    for array, copy in zip((labels, *plan.arrays()), before, strict=True):
        np.testing.assert_array_equal(array, copy)


BAD = pytest.mark.parametrize("bad", [-1, 6, 2**31 - 1, -(2**31)])


@BAD
@pytest.mark.parametrize("backend", ["cpu"], indirect=True)
def test_the_twin_raises_a_bad_label_at_once(backend: Any, bad: int) -> None:
    labels = np.array(LABELS)
    labels[3] = bad
    with pytest.raises(ValueError, match=rf"label {bad} of sample 3 is outside 0 \.\. 5: .*num_classes is how many"):
        backend.soft_labels(labels, some_plan(), num_classes=6)


@BAD
@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("backend", ["host", pytest.param("cuda", marks=pytest.mark.cuda)], indirect=True)
def test_the_kernel_turns_a_bad_label_into_nan_and_raises_with_the_next_call(backend: Any, kind: str, bad: int) -> None:
    labels = np.array(LABELS, kind)
    labels[3] = bad
    got = backend.soft_labels(labels, some_plan(), num_classes=6)
    expected = dense_by_hand(LABELS, 6, 0)
    spoilt = [0, 3]  # the image itself, and the one whose partner it is
    assert np.isnan(got[spoilt]).all()
    np.testing.assert_array_equal(np.delete(got, spoilt, axis=0), np.delete(expected, spoilt, axis=0))
    good = np.array(LABELS, kind)
    with pytest.raises(ValueError, match=rf"label {bad} of sample 3 of an earlier batch is outside 0 \.\. 5"):
        backend.soft_labels(good, some_plan(), num_classes=6)
    np.testing.assert_array_equal(backend.soft_labels(good, some_plan(), num_classes=6), expected)


@pytest.mark.parametrize("backend", ["host", pytest.param("cuda", marks=pytest.mark.cuda)], indirect=True)
def test_the_error_names_the_classes_of_the_batch_with_the_bad_label(backend: Any) -> None:
    labels = np.array([6, 0, 0, 0, 0])
    backend.soft_labels(labels, some_plan(), num_classes=6)
    with pytest.raises(ValueError, match=r"outside 0 \.\. 5"):
        backend.soft_labels(labels, some_plan(), num_classes=1000)


@pytest.mark.parametrize("backend", ["host", pytest.param("cuda", marks=pytest.mark.cuda)], indirect=True)
def test_a_label_of_64_bits_is_not_cut_to_32(backend: Any) -> None:
    """2³² + 2 would be class 2 in 32 bits."""
    labels = np.array([2**32 + 2, 0, 5, 2, 2], np.int64)
    assert np.isnan(backend.soft_labels(labels, some_plan(), num_classes=6)[0]).all()
    with pytest.raises(ValueError, match=f"label {2**32 + 2} of sample 0"):
        backend.soft_labels(labels, some_plan(), num_classes=6)


def test_pairs_are_checked_too_and_share_no_memory() -> None:
    plan = dalimix.plan(CutMix(), dalimix.draw(CutMix(), 4, 0), (8, 8))
    labels = np.array([0, 1, 2, 99])
    with pytest.raises(ValueError, match=r"label 99 of sample 3 is outside 0 \.\. 2"):
        dalimix.soft_labels(labels, plan, 3, form="pair")
    with pytest.raises(ValueError, match="num_classes must be a whole number from 1, got -3"):
        dalimix.soft_labels(labels, plan, -3, form="pair")
    own, _, weight = dalimix.soft_labels(labels, plan, form="pair")
    assert not np.shares_memory(own, labels)
    assert not np.shares_memory(weight, plan.weight)
