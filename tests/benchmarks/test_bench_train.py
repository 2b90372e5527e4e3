"""benchmarks/training/bench_train.py: every way to get batches is trained with, and checked before that."""

import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("nvidia.dali")
pytest.importorskip("PIL.Image")
torch = pytest.importorskip("torch")

from dalimix import METHODS
from tests.benchmarks.test_benchmarks import imported, run

PLACE = SimpleNamespace(batch=2, size=8, device="cpu")


@pytest.fixture
def bench():
    return imported("bench_train")


@pytest.fixture
def models():
    return imported("training.train_models")


def test_all_ways(tmp_path):
    tiny = "--model", "small_resnet", "--batch-size", "4", "--size", "32", "--steps", "1", "--rounds", "1"
    text, result = run(tmp_path, *tiny, script="bench_train.py")
    ways = ["the step alone", "no mixing", *METHODS]
    assert [(row["what"], row["baseline"]) for row in result["rows"]] == [(way, "no mixing") for way in ways]
    assert {row["model"] for row in result["rows"]} == {"small_resnet of examples/small_resnet.py"}
    assert all(row["batch"] == 4 and row["images/s"] > 0 and row["speedup"] > 0 for row in result["rows"])
    assert "left out: the training on a GPU" in text


def test_a_model_that_is_missing_is_left_out(bench, monkeypatch, capsys):
    def missing(classes, size):
        raise ModuleNotFoundError("neither of two packages is there")

    monkeypatch.setattr(bench, "MODELS", {"resnet50": missing})
    monkeypatch.setattr(sys, "argv", ["bench_train.py", "--device", "cpu", "--model", "resnet50", "--batch-size", "1"])
    bench.main()
    assert "left out: resnet50: neither of two packages is there" in capsys.readouterr().out


def test_models_are_timms(models, monkeypatch):
    asked = []
    timm = SimpleNamespace(create_model=lambda name, **options: asked.append((name, options)) or name)
    monkeypatch.setitem(sys.modules, "timm", timm)
    assert models.resnet50(10, 64) == ("resnet50", "timm")
    assert models.vit_small(10, 64) == ("vit_small_patch16_224", "timm")
    assert asked[1] == ("vit_small_patch16_224", {"num_classes": 10, "img_size": 64})


def test_models_without_timm(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    made = SimpleNamespace(models=SimpleNamespace(resnet50=lambda num_classes: num_classes))
    monkeypatch.setitem(sys.modules, "torchvision", made)
    assert models.resnet50(10, 64) == (10, "torchvision")
    vit, origin = models.vit_small(1000, 224)
    assert origin == "examples/small_vit.py"
    assert sum(parameter.numel() for parameter in vit.parameters()) == pytest.approx(22.05e6, rel=0.002)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ModuleNotFoundError, match="neither timm nor torchvision can be imported"):
        models.resnet50(10, 64)


def test_a_step_trains(bench):
    torch.manual_seed(0)
    training = bench.Training(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)), "cpu")
    batch = torch.randn(2, 3, 8, 8), torch.tensor([0, 2])
    bench.check_training(training, batch)
    before = [parameter.clone() for parameter in training.model.parameters()]
    expected = torch.nn.functional.cross_entropy(training.model(batch[0]), batch[1])
    assert torch.equal(training(*batch), expected)
    assert not any(torch.equal(*pair) for pair in zip(before, training.model.parameters(), strict=True))


def test_gradients_are_those_of_the_last_batch(bench):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    training, batch = bench.Training(model, "cpu"), (torch.randn(2, 3, 8, 8), torch.tensor([0, 2]))
    training(*batch)
    expected = torch.autograd.grad(torch.nn.functional.cross_entropy(model(batch[0]), batch[1]), model[1].weight)
    training(*batch)
    assert torch.equal(model[1].weight.grad, *expected)


def test_every_step_has_a_batch_of_its_own(bench):
    seen, batches = [], iter([(0, 1), (2, 3), (4, 5)])
    for index in range(3):
        bench.loaded(lambda *batch: seen.append(batch), batches, index)
    assert seen == [(0, 1), (2, 3), (4, 5)]


def test_a_model_that_does_not_learn_is_told(bench):
    with pytest.raises(AssertionError, match="the model does not learn"):
        bench.check_training(lambda *batch: torch.tensor(1.0), (None, None))


def test_the_gpu_trains_in_half_precision(bench, monkeypatch):
    """Here on the CPU, which autocasts alike."""
    monkeypatch.setitem(bench.DEVICES, "gpu", "cpu")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8), torch.nn.Flatten(), torch.nn.Linear(4, 3))
    seen = []
    model[0].register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    images = torch.randn(2, 3, 8, 8).to(torch.float16, memory_format=torch.channels_last)
    bench.Training(model, "gpu")(images, torch.tensor([0, 2]))
    bench.Training(model, "cpu")(images.float(), torch.tensor([0, 2]))
    assert seen == [torch.bfloat16, torch.float32]


MIXED = torch.tensor([[0.5, 0.5, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("name", "targets", "told"),
    [
        ("no mixing", MIXED, "the labels are mixed"),
        ("cutmix", 0.9 * MIXED, "targets do not add up to 1"),
        ("cutmix", torch.eye(3)[:2], "targets are of 1 classes"),
        ("cutmix", torch.full((2, 3), 1 / 3), "targets are of 3 classes"),
    ],
)
def test_batches_that_are_not_what_they_should_be_are_told(bench, name, targets, told):
    with pytest.raises(AssertionError, match=told):
        bench.check_batch(name, (torch.zeros(2, 3, 8, 8), targets), PLACE)


def test_images_that_are_not_what_they_should_be_are_told(bench):
    bench.check_batch("cutmix", (torch.zeros(2, 3, 8, 8), MIXED), PLACE)
    with pytest.raises(AssertionError, match=r"cutmix: \(2, 3, 8, 9\)"):
        bench.check_batch("cutmix", (torch.zeros(2, 3, 8, 9), MIXED), PLACE)
    with pytest.raises(AssertionError, match="the images are torch.float16"):
        bench.check_batch("cutmix", (torch.zeros(2, 3, 8, 8, dtype=torch.float16), MIXED), PLACE)
