"""Class indices outside of the classes, in the loss of SMMix: they never index a tensor."""

from threading import Thread

import pytest
import torch

from dalimix import MixPlan
from dalimix.torch import SMMixBatch, SMMixLoss, class_indices

B, C = 5, 4


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plan():
    """Every image shows its partner in one of two tokens."""
    tokens = torch.tensor([[0, 1]], dtype=torch.uint8).repeat(B, 1).reshape(B, 1, 2)
    empty, partner = torch.zeros(B, 4, dtype=torch.int32), torch.tensor([2, 3, 0, 1, 4], dtype=torch.int32)
    return MixPlan(partner, torch.full((B, 2), 0.5), torch.ones(B), empty, empty[:, :2], tokens)


LABELS = torch.tensor([0, 3, 1, 1, 2])


def batch(labels):
    return SMMixBatch(torch.zeros(B, 3, 4, 6), random(B, C).softmax(1), labels, plan(), random(B, C, seed=9))


def outputs():
    return tuple(random(B, C, seed=seed) for seed in range(3))


@pytest.mark.parametrize("label", [-100, -1, C, 300])
@pytest.mark.parametrize("column", [False, True], ids=["numbers", "column"])
def test_a_class_that_there_is_not(label, column):
    """Also the −100 that `cross_entropy` passes over in silence."""
    wrong = LABELS.clone()
    wrong[3] = label
    with pytest.raises(ValueError, match=rf"label {label} of sample 3 is outside 0 \.\. 3"):
        SMMixLoss()(outputs(), batch(wrong[:, None] if column else wrong))


@pytest.mark.parametrize("label", [-100, C])
def test_a_class_at_which_nobody_looks_gives_nan(label, monkeypatch):
    """Of one image, and of one as a partner; nothing is looked up outside of the classes."""
    monkeypatch.setattr(class_indices, "_refuse_others", lambda *_: None)  # as on a GPU
    for sample in range(B):
        wrong = LABELS.index_fill(0, torch.tensor([sample]), label)
        losses = SMMixLoss(0.1)(outputs(), batch(wrong))
        assert losses.tokens.isnan()
        assert losses.total.isnan()
        assert losses.consistency.isfinite()


@pytest.mark.cuda
@pytest.mark.parametrize("label", [-100, C, 1 << 40])
def test_on_a_gpu_a_class_that_there_is_not_gives_nan_and_a_later_error(gpu, label):
    wrong = LABELS.index_fill(0, torch.tensor([3]), label).cuda()
    good = {name: getattr(batch(LABELS), name).cuda() for name in ("images", "targets", "labels", "predictions")}
    good["plan"] = MixPlan(*(array.cuda() for array in plan().arrays()))
    given = tuple(output.cuda() for output in outputs())
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = SMMixLoss()(given, SMMixBatch(**{**good, "labels": wrong}))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert losses.total.isnan()
    torch.cuda.synchronize()
    with pytest.raises(ValueError, match=rf"label {label} of sample 3 of an earlier batch is outside 0 \.\. 3"):
        SMMixLoss()(given, SMMixBatch(**good))
    assert SMMixLoss()(given, SMMixBatch(**good)).total.isfinite()


class Arrival:
    def __init__(self, *answers):
        self.answers = list(answers)

    def query(self):
        return self.answers.pop(0)


def test_what_a_gpu_told_is_raised_once_and_not_before_it_arrived():
    right, wrong = torch.tensor([0, 2, 1]), torch.tensor([3, 9, 0])
    for arrival, told in ((Arrival(True), right), (Arrival(False, True), wrong), (Arrival(True), right)):
        class_indices._pending.append(class_indices._Report(arrival, told, C))
    class_indices._raise_what_arrived()
    with pytest.raises(ValueError, match=r"label 9 of sample 3 of an earlier batch is outside 0 \.\. 3"):
        class_indices._raise_what_arrived()
    class_indices._raise_what_arrived()
    assert not class_indices._pending


class Overtaken(Arrival):
    """While one thread asks whether it arrived, another one looks, too."""

    other = None

    def query(self):
        if self.other is None:
            self.other = Thread(target=class_indices._raise_what_arrived)
            self.other.start()
            self.other.join(0.3)
        return super().query()


def test_a_thread_that_reads_reports_takes_none_that_did_not_arrive():
    first, second = Overtaken(True, True), Arrival(False, False, True)
    for arrival, told in ((first, torch.tensor([0, 2, 1])), (second, torch.tensor([3, 9, 0]))):
        class_indices._pending.append(class_indices._Report(arrival, told, C))
    class_indices._raise_what_arrived()
    first.other.join()
    with pytest.raises(ValueError, match="label 9 of sample 3"):
        class_indices._raise_what_arrived()
