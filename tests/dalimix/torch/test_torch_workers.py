"""BatchMixer and its relatives in the workers of a DataLoader, in copies and in pickles."""

import copy
import io
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor, wait
from multiprocessing.reduction import ForkingPickler
from threading import Event

import pytest
import torch

import dalimix
from dalimix.heatmaps import AttentionHeatmap, ClassActivationHeatmap, FeatureHeatmap, SnapshotHeatmap
from dalimix.torch import SMMixBatch, SMMixLoss, SMMixStep, TokenClassifier
from tests.support.data.at_random import seeded
from tests.support.models.versions import Versions, a_snapshot, version
from tests.support.models.vits import SIDE, Small, vit
from tests.support.programs.workers import BATCH, WORKERS, checksum, checksum_to, drawn, mixer


@pytest.mark.parametrize("persistent_workers", [False, True], ids=["new workers", "the same workers"])
@pytest.mark.parametrize("make", [lambda: None, seeded], ids=["default", "own"])
def test_every_worker_and_epoch_draws_its_own(make, persistent_workers):
    def run(seed):
        torch.manual_seed(seed)
        return drawn("fork", make(), epochs=2, persistent_workers=persistent_workers)

    first, again, other = run(1), run(1), run(2)
    assert len({*first, *other}) == 2 * len(first)
    assert first == again


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_workers_that_start_anew_draw_as_forked_ones(context):
    torch.manual_seed(1)
    blends = drawn(context, seeded(), epochs=1)
    assert len(set(blends)) == WORKERS
    torch.manual_seed(1)
    assert blends == drawn("fork", seeded(), epochs=1)


def pickled(given):
    return pickle.loads(pickle.dumps(given))


def shared(given):
    """As for a process that is going to be spawned."""
    file = io.BytesIO()
    ForkingPickler(file).dump(given)
    return pickle.loads(file.getvalue())


COPIES = pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled, shared], ids=lambda way: way.__name__)
IMAGES, LABELS = torch.rand(BATCH, 3, SIDE, SIDE, generator=seeded()), torch.arange(BATCH)


def blend(made):
    return made(IMAGES, LABELS)[2].blend.tolist()


@COPIES
def test_copies_without_a_generator_follow_the_seed(copied):
    first = mixer()
    other = copied(first)
    torch.manual_seed(5)
    expected = blend(first)
    torch.manual_seed(5)
    assert blend(other) == expected


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, shared], ids=lambda way: way.__name__)
def test_copies_go_on_with_the_state_of_an_own_generator(copied):
    first = mixer(seeded())
    blend(first)
    other = copied(first)
    expected = [blend(first) for _ in range(2)]
    assert [blend(other) for _ in range(2)] == expected
    assert expected[0] != expected[1]


def test_a_generator_that_is_shared_stays_shared_in_a_deep_copy():
    generator = seeded()
    given, made = copy.deepcopy((generator, mixer(generator)))
    expected = blend(made)
    given.manual_seed(3)
    assert blend(made) == expected


def parts(model):
    """Everything that holds a model."""
    provider = AttentionHeatmap(model, "layers.layers.1.self_attn")
    step = SMMixStep(provider, 5, dalimix.SMMix(grid=8), generator=seeded())
    return provider, step, TokenClassifier(model, "layers", "head"), SMMixLoss(0.1)


def trained(made):
    """The loss of a step."""
    _, step, classifier, loss = made
    batch = step(IMAGES, LABELS)
    assert isinstance(batch, SMMixBatch)
    return loss(classifier(batch.images, batch.plan.tokens), batch).total.item()


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, shared], ids=lambda way: way.__name__)
def test_a_step_is_copied_with_its_model(copied):
    torch.manual_seed(0)
    made = parts(Small())
    provider, step, classifier, loss = copied(made)
    assert provider.model is step.provider.model is classifier.model
    assert trained((provider, step, classifier, loss)) == pytest.approx(trained(made))
    assert sum(len(module._forward_hooks) for module in classifier.modules()) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled], ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", ["feature", "attention", "class activation"])
def test_a_provider_watches_the_model_that_was_copied_with_it(kind, copied):
    model = vit()
    provider = {
        "feature": lambda: FeatureHeatmap(model, "blocks.1"),
        "attention": lambda: AttentionHeatmap(model, "blocks.1.attn"),
        "class activation": lambda: ClassActivationHeatmap(model, "blocks.2", "head"),
    }[kind]()
    other = copied(provider)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    changed = provider(IMAGES)
    assert not torch.equal(other(IMAGES), changed)
    other.model.load_state_dict(model.state_dict())
    assert torch.equal(other(IMAGES), changed)


def test_a_provider_watches_the_layer_that_its_model_has_now():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU())
    provider = FeatureHeatmap(model, "0")
    model[0] = torch.nn.Conv2d(3, 4, 2, 2)
    assert provider(IMAGES).shape == (BATCH, SIDE // 2, SIDE // 2)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, shared], ids=lambda way: way.__name__)
def test_a_snapshot_goes_on_as_it_was(copied):
    snapshot = a_snapshot(every=2)
    model = snapshot.provider.model
    model.train_to(1)
    snapshot.step()
    model.train_to(2)
    snapshot.step()
    model.train_to(3)
    snapshot.step()
    other = copied(snapshot)
    assert version(other) == version(snapshot) == 2
    other.step()
    assert (version(other), version(snapshot)) == (3, 2)
    other.provider.model.train_to(4)
    other.refresh()
    assert (version(other), version(snapshot)) == (4, 2)


@pytest.mark.parametrize(
    ("kind", "context"),
    [("snapshot", "spawn"), ("snapshot", "forkserver"), ("provider", "spawn"), ("step", "forkserver")],
)
def test_what_holds_a_model_goes_to_a_process_that_starts_anew(kind, context):
    """The memory that is to be shared is there until the process is."""
    torch.manual_seed(0)
    provider = AttentionHeatmap(Small(), "layers.layers.1.self_attn")
    step = SMMixStep(provider, 5, dalimix.SMMix(grid=8), generator=seeded())
    made = {"snapshot": SnapshotHeatmap(provider), "provider": provider, "step": step}[kind]
    results = torch.multiprocessing.get_context(context).SimpleQueue()
    arguments = (made, IMAGES, LABELS, results)
    child = torch.multiprocessing.get_context(context).Process(target=checksum_to, args=arguments)
    child.start()
    child.join(60)
    ended = child.exitcode
    child.kill()
    assert ended == 0, "it hangs" if ended is None else ended
    assert results.get() == pytest.approx(checksum(made, IMAGES, LABELS))


def test_a_snapshot_of_what_cannot_be_pickled_can_be_copied():
    snapshot = a_snapshot()
    snapshot.provider.model.look.extra = lambda: None
    made = SnapshotHeatmap(snapshot.provider)
    assert version(copy.deepcopy(made)) == version(made)


def test_a_snapshot_is_copied_between_two_runs():
    """Within a run a hook of ours lies in its model, and would stay in the copy."""
    Blocked.inside.clear()
    Blocked.gate.clear()
    snapshot = a_snapshot(Blocked())
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(snapshot, IMAGES)
        assert Blocked.inside.wait(30)
        copying = pool.submit(copy.deepcopy, snapshot)
        try:
            assert wait([copying], 0.2).not_done
        finally:
            Blocked.gate.set()
        running.result(30)
        copied = copying.result(30)
    assert not any(module._forward_hooks for module in copied._current._provider.model.modules())


def test_a_forked_process_does_not_wait_for_a_thread_that_it_has_not():
    Blocked.inside.clear()
    Blocked.gate.clear()
    provider = a_snapshot(Blocked()).provider
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(provider, IMAGES)
        assert Blocked.inside.wait(30)
        child = multiprocessing.get_context("fork").Process(target=run_in_a_fork, args=(provider,))
        child.start()
        child.join(20)
        ended = child.exitcode
        child.kill()
        Blocked.gate.set()
        running.result(30)
    assert ended == 0


def run_in_a_fork(provider):
    torch.set_num_threads(1)
    Blocked.gate.set()
    provider(IMAGES)


class Blocked(Versions):
    """Stops in the middle of a forward pass."""

    inside, gate = Event(), Event()  # of the class: copies have the same ones

    def forward(self, images):
        Blocked.inside.set()
        assert Blocked.gate.wait(30)
        return super().forward(images)


def test_what_cannot_be_pickled_is_the_model():
    model = torch.nn.Sequential(torch.nn.Identity())
    model.trainer = lambda: None
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(FeatureHeatmap(model, "0"))
