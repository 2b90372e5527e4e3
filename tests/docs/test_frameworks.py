"""The loader in training loops that others wrote: Lightning, torchdata, accelerate, torch's DataLoader."""

import pickle

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from dali_ops import ImageFolderLoader
from dalimix import CutMix, Mixup
from tests.support.data import coloured
from tests.support.loaders import grouped
from tests.support.models.frameworks import a_model, a_module, a_trainer, forget_accelerate
from tests.support.same import same

STEPS = 6  # of an epoch: 24 images, 4 in a batch
CUTMIX = CutMix()
NO_WORKERS = "threads of its own: give the DataLoader num_workers=0"
VIEWS = [lambda loader: loader, lambda loader: DataLoader(loader.as_dataset(), batch_size=None)]
views = pytest.mark.parametrize("view", VIEWS, ids=["loader", "DataLoader"])


root = coloured.noisy_root


@pytest.fixture
def load(root):
    def loader(method=CUTMIX, **options):
        options = {"size": 32, "device": "cpu", "num_threads": 1, "seed": 1, **options}
        return ImageFolderLoader(root, method, 4, **grouped(**options))

    return loader


def epochs(loader, count):
    return [batch for _ in range(count) for batch in loader]


@views
def test_a_plain_training_loop(load, view):
    model, loader, losses = a_model(), view(load(Mixup(0.2))), []
    optimizer = torch.optim.SGD(model.parameters(), 0.2)
    for _ in range(4):
        losses.append(0)
        for images, targets in loader:
            loss = cross_entropy(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1] += loss.item() / len(loader)
    assert len(loader) == STEPS
    assert losses[-1] < 0.6 * losses[0]


def test_a_dataloader_gives_the_batches_of_the_loader(load):
    loader = load()
    view = DataLoader(loader.as_dataset(), batch_size=None)
    assert same(epochs(view, 2), epochs(load(), 2))
    assert loader.epoch == 2


def test_worker_processes_are_refused(load):
    workers = {"num_workers": 1, "multiprocessing_context": "fork", "timeout": 300}  # a pipeline in a fork hangs
    view = DataLoader(load().as_dataset(), batch_size=None, **workers)
    with pytest.raises(RuntimeError, match=NO_WORKERS):
        next(iter(view))


def test_workers_that_are_not_forked_are_refused(load):
    """They are sent a copy."""
    with pytest.raises(RuntimeError, match=NO_WORKERS):
        pickle.dumps(load().as_dataset())


@pytest.mark.parametrize("before", [0, 2, STEPS - 1, STEPS, STEPS + 3])
def test_torchdata_goes_on_with_the_very_next_batch(load, before):
    """A view of torchdata, saved after some batches; with STEPS of them, the next loop is that of the next epoch."""
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")
    first, second = (torchdata.StatefulDataLoader(load().as_dataset(), batch_size=None) for _ in range(2))
    taken = 0
    while taken < before:
        for _ in first:
            taken += 1
            if taken == before:
                break
    second.load_state_dict(first.state_dict())
    rest = list(second)
    assert len(rest) == STEPS - before % STEPS
    assert same(rest + list(second), epochs(load(), 3)[before : before + len(rest) + STEPS])


def test_torchdata_between_two_epochs(load):
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")
    first, second = (torchdata.StatefulDataLoader(load().as_dataset(), batch_size=None) for _ in range(2))
    list(first)
    second.load_state_dict(first.state_dict())
    assert same(list(second), epochs(load(), 2)[STEPS:])


@views
def test_lightning_trains(load, view):
    """Two batches for its sanity check, then four epochs and as many looks at the validation loader."""
    module, loader, validation, trainer = a_module(), load(), load(None, training=False), a_trainer(max_epochs=4)
    trainer.fit(module, view(loader), view(validation))
    assert trainer.num_training_batches == len(loader) == STEPS
    assert same(module.seen, epochs(load(), 4))
    assert len(module.validation) == 2 + 4 * len(validation)
    assert sum(module.validation[-STEPS:]) < 0.6 * sum(module.validation[2 : 2 + STEPS])


@views
def test_lightning_leaves_out_the_rest_of_every_epoch(load, view):
    module, reference = a_module(), load()
    a_trainer(max_epochs=3, limit_train_batches=2).fit(module, view(load()))
    for epoch in range(3):
        reference.set_epoch(epoch)
        batches = iter(reference)
        assert same(module.seen[2 * epoch :][:2], [next(batches), next(batches)])


def test_overfitting_in_lightning_is_on_other_batches_in_every_epoch(load):
    module = a_module()
    a_trainer(max_epochs=2, overfit_batches=1).fit(module, load())
    assert len(module.seen) == 2
    assert not same(*([batch] for batch in module.seen))


def checkpoint(module, folder, loader, step):
    """What Lightning saves after a step of two epochs."""
    callback = pytest.importorskip("pytorch_lightning.callbacks").ModelCheckpoint(folder, "{step}", save_top_k=-1,
                                                                                  every_n_train_steps=step)  # fmt: skip
    a_trainer(max_epochs=2, enable_checkpointing=True, callbacks=[callback]).fit(module, loader)
    return folder / f"step={step}.ckpt"


@pytest.mark.parametrize("step", [4, STEPS, STEPS + 2])
def test_lightning_goes_on_with_the_very_next_batch(load, tmp_path, step):
    module, again, loader = a_module(), a_module(), load()
    path = checkpoint(module, tmp_path, load(), step)
    a_trainer(max_epochs=2).fit(again, loader, ckpt_path=path)
    assert same(again.seen, module.seen[step:])
    assert same(again.model.state_dict(), module.model.state_dict())
    assert loader.epoch == 2


def test_lightning_keeps_no_state_of_a_dataloader(load, tmp_path):
    saved = [checkpoint(a_module(), tmp_path / str(k), view(load()), 4) for k, view in enumerate(VIEWS)]
    loops = [torch.load(path)["loops"]["fit_loop"]["state_dict"] for path in saved]
    assert ["combined_loader" in loop for loop in loops] == [True, False]


@pytest.fixture
def accelerator():
    accelerate = pytest.importorskip("accelerate")
    yield accelerate.Accelerator(cpu=True)
    forget_accelerate()


def test_accelerate_leaves_the_loader_alone(load, accelerator):
    loader, model = load(), a_model()
    prepared = accelerator.prepare(loader, model)
    assert prepared[0] is loader


def test_accelerate_saves_the_loader(load, accelerator, tmp_path):
    loader = load()
    accelerator.register_for_checkpointing(loader)
    batches = iter(loader)
    next(batches)
    accelerator.save_state(tmp_path)
    following = list(batches)
    accelerator.load_state(tmp_path)
    assert same(list(loader), following)


def test_accelerate_with_a_dataloader_in_one_process(load, accelerator):
    view = accelerator.prepare(DataLoader(load().as_dataset(), batch_size=None))
    assert len(view) == STEPS
    assert same(epochs(view, 2), epochs(load(), 2))


def test_why_accelerate_should_not_prepare_a_dataloader(load, accelerator):
    """It reads in one process only, a batch ahead, and a loop that was left early comes again."""
    dispatcher = pytest.importorskip("accelerate.data_loader").DataLoaderDispatcher
    loader = load()
    view = accelerator.prepare(DataLoader(loader.as_dataset(), batch_size=None))
    assert type(view) is dispatcher
    first, second = next(iter(view)), next(iter(view))
    assert same([first], [second])
    assert loader.state_dict()["step"] == 2
