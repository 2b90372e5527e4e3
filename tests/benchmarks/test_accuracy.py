"""benchmarks/accuracy: all that is compared differs by the method alone, a planted mistake shows, the docs say it."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("sklearn")
pytest.importorskip("scipy")

from benchmarks.accuracy import data, record, training, ways
from benchmarks.accuracy.models import ARCHITECTURES, GRID
from benchmarks.accuracy.table import CONTROL, PLAIN, summary
from benchmarks.accuracy.training import Settings, batches, rows_of, trained
from benchmarks.accuracy.ways import WAYS, Training
from benchmarks.page.make_results import table
from benchmarks.tensors import one_thread
from dalimix import AttentiveCutMix, Mixup
from dalimix.torch import BatchMixer
from tests.support.paths import BENCHMARKS
from tests.support.project.benchmarks import run, start
from tests.support.project.documents import text_of

RESULTS = BENCHMARKS / "results" / "accuracy.json"
CNN, VIT = ARCHITECTURES
TINY = Settings(per_class=2, epochs=2, batch=7)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with one_thread():
        yield


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images to test with, where it does not matter how good a model is."""

    def small(seed: int, per_class: int) -> data.Split:
        found = data.split(seed, per_class)
        return replace(found, test_images=found.test_images[:40], test_labels=found.test_labels[:40])

    monkeypatch.setattr(training, "split", small)


# ---- the images


def test_a_split() -> None:
    found, again, other = data.split(3, 10), data.split(3, 10), data.split(4, 10)
    assert found.labels.bincount().tolist() == [10] * 10
    assert len(found.labels) + len(found.test_labels) == 1797
    assert torch.equal(found.images, again.images)
    assert not torch.equal(found.images, other.images)
    images, labels = data.digits()
    known = {image.numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    train, test = ({image.numpy().tobytes() for image in part} for part in (found.images, found.test_images))
    assert not train & test
    assert train | test == known.keys()
    assert all(known[i.numpy().tobytes()] == n for i, n in zip(found.test_images, found.test_labels, strict=True))
    assert (images.min(), images.max()) == (-1, 1)
    with pytest.raises(ValueError, match=r"from 1 to 173, .* got 174"):
        data.split(0, 174)


# ---- what is compared


@pytest.mark.usefixtures("_few")
def test_all_begin_with_the_same_weights_and_see_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a method draws, and however often."""
    seen: dict[str, list[Any]] = {}

    def spy(name: str, training: Training) -> Any:
        seen[name] = [{key: value.clone() for key, value in training.model.state_dict().items()}]
        loss = WAYS_HERE[name](training)
        return lambda index: seen[name].append(index) or loss(index)

    WAYS_HERE = dict(WAYS)
    monkeypatch.setattr(training, "WAYS", {name: lambda given, name=name: spy(name, given) for name in WAYS})
    before = torch.get_rng_state()
    list(rows_of(CNN, 5, list(WAYS), TINY))
    assert torch.equal(torch.get_rng_state(), before)
    (weights, *order), *others = seen.values()
    assert len(others) == len(WAYS) - 1
    assert [len(index) for index in order] == [7, 7, 6] * 2
    epochs = torch.cat(order).split(20)
    assert all(sorted(epoch.tolist()) == list(range(20)) for epoch in epochs)
    assert not torch.equal(*epochs)
    for first, *theirs in others:
        assert all(torch.equal(first[key], value) for key, value in weights.items())
        assert torch.equal(torch.cat(theirs), torch.cat(order))
    different = next(batches(20, 6, TINY)), next(batches(20, 5, TINY))
    assert not torch.equal(*different)


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("model", ARCHITECTURES)
def test_every_method_trains_every_model_and_no_two_alike(model: str) -> None:
    """Two trainings by one seed give the same numbers, by another one others."""
    rows = list(rows_of(model, 0, list(WAYS), TINY))
    assert [row["method"] for row in rows] == list(WAYS)
    losses = {row["method"]: row["loss"] for row in rows}
    assert len(set(losses.values())) == len(WAYS)
    torch.manual_seed(7)  # what others have left
    again = [next(rows_of(model, seed, [method], TINY))["loss"] for seed, method in ((0, "TokenMix"), (1, "TokenMix"))]
    assert again[0] == losses["TokenMix"] != again[1]


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_heatmaps_are_of_the_cells_of_the_images(model: str) -> None:
    kind, found = ARCHITECTURES[model], data.split(0, 1)
    made = kind.make().eval()
    assert kind.looks(made)(found.images).shape == (10, GRID, GRID)
    maps = kind.sees_class(made)(found.images, found.labels)
    assert not torch.equal(maps, kind.sees_class(made)(found.images, 9 - found.labels))


def test_teachers_tell_what_methods_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it looks at, and its activation of the images' own classes; of all images, which batches choose from."""
    monkeypatch.setattr(ways, "mixed", lambda training, method, heatmaps: heatmaps)
    kind, found = ARCHITECTURES[VIT], data.split(0, 1)
    teacher = kind.make().eval()
    given = Training(kind, kind.make(), teacher, found, torch.Generator())
    assert torch.equal(ways.attentive(given), kind.looks(teacher)(found.images))
    assert torch.equal(ways.tokens(given), kind.sees_class(teacher)(found.images, found.labels))


def test_images_are_mixed_by_their_own_heatmaps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(ways, "BatchMixer", lambda *_, **__: lambda *given: seen.extend(given) or given[:2])
    kind, found = ARCHITECTURES[CNN], data.split(0, 1)
    given = Training(kind, kind.make(), None, found, torch.Generator())
    index, maps = torch.tensor([7, 2, 5]), torch.arange(10.0)[:, None, None]
    ways.mixed(given, AttentiveCutMix(), maps)(index)
    for read, expected in zip(seen, (found.images[index], found.labels[index], maps[index]), strict=True):
        assert torch.equal(read, expected)


def test_the_tokens_of_smmix_have_a_loss_where_there_are_tokens() -> None:
    """The whole loss of the paper is larger than that of the classification; the CNN has that one alone."""

    def loss(name: str, has_tokens: bool) -> float:
        torch.manual_seed(0)
        kind = replace(ARCHITECTURES[name], has_tokens=has_tokens)
        given = Training(kind, kind.make(), None, data.split(0, 2), torch.Generator().manual_seed(0))
        return ways.self_motivated(given)(torch.arange(20)).item()

    losses = {name: (loss(name, kind.has_tokens), loss(name, False)) for name, kind in ARCHITECTURES.items()}
    assert losses[CNN][0] == losses[CNN][1]
    assert losses[VIT][0] > 1.5 * losses[VIT][1]


@pytest.mark.parametrize("method", ["AttentiveCutMix", "TokenMix"])
def test_what_has_no_teacher_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="needs a teacher"):
        trained(CNN, 0, method, data.split(0, 2), None, TINY)


# ---- harm


def shuffled(given: Training) -> Any:
    """Mixup, whose targets are those of other images."""
    mixer = BatchMixer(Mixup(), data.CLASSES, generator=given.generator)

    def loss(index: torch.Tensor) -> torch.Tensor:
        images, targets = mixer(*given.batch(index))
        return nn.functional.cross_entropy(given.model(images), targets.roll(1, 0))

    return loss


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(data.SIZE**2, data.CLASSES))


def test_a_planted_mistake_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """In three trainings already, of a model that learns in a moment."""
    monkeypatch.setitem(WAYS, "planted", shuffled)
    monkeypatch.setitem(ARCHITECTURES, "linear", replace(ARCHITECTURES[CNN], make=linear))
    short = Settings(epochs=30)
    plain, line = summary([row for seed in range(3) for row in rows_of("linear", seed, [PLAIN, "planted"], short)])
    assert float(plain["accuracy, %"].split()[0]) > 80
    assert line["accuracy against no mixing"].startswith("−")
    assert line["accuracy against no mixing"].endswith("**worse**")
    assert line["loss against no mixing"].endswith("**worse**")


# ---- the script


@pytest.mark.usefixtures("_few")
def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """Its file had the first of its rows, and ends with the same ones."""
    options = "--seeds", 2, "--models", CNN, "--epochs", 1, "--methods", "TokenMix", PLAIN
    text, whole = run("accuracy.bench_accuracy", tmp_path, *options)
    assert summary(whole["rows"])[1]["accuracy against no mixing"] in text
    assert (whole["environment"]["epochs"], whole["environment"]["per class"]) == (1, 10)
    (tmp_path / "result.json").write_text(json.dumps(whole | {"rows": whole["rows"][:1]}))
    text, again = run("accuracy.bench_accuracy", tmp_path, *options)
    assert [line.split(":")[0] for line in text.splitlines()[:3]] == [
        f"{CNN}, seed 0, TokenMix", f"{CNN}, seed 1, {PLAIN}", f"{CNN}, seed 1, TokenMix",
    ]  # fmt: skip
    for ours, theirs in zip(again["rows"], whole["rows"], strict=True):
        assert ours | {"CPU s": 0} == theirs | {"CPU s": 0}


def test_a_file_of_other_settings_is_refused(tmp_path: Path) -> None:
    kept = record.Record(tmp_path / "a.json", TINY)
    kept.add({"model": CNN, "method": PLAIN, "seed": 0})
    assert record.Record(tmp_path / "a.json", TINY).rows == kept.rows
    assert record.Record(tmp_path / "a.json", TINY).missing(CNN, 0, [PLAIN, CONTROL]) == [CONTROL]
    assert record.Record(tmp_path / "a.json", TINY).missing(CNN, 1, [PLAIN]) == [PLAIN]
    with pytest.raises(ValueError, match=r"a\.json was measured with another batch, lr: name another file"):
        record.Record(tmp_path / "a.json", replace(TINY, lr=1, batch=3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_one_seed_is_too_few() -> None:
    with pytest.raises(SystemExit, match="--seeds must be 2 at least, .* got 1"):
        start("accuracy.bench_accuracy", "--seeds", 1)


# ---- the file here


def test_the_table_in_the_docs_is_that_of_the_file_here() -> None:
    """If it is not: copy it from RESULTS.md, and read what stands around it."""
    page, found = text_of("docs/accuracy.md"), json.loads(RESULTS.read_text(encoding="utf-8"))
    lines = summary(found["rows"])
    assert table(lines) in page
    told = "".join(str(value) for line in lines if line["method"] != CONTROL for value in line.values())
    assert f"{told.count('better')} better and {told.count('worse')} worse" in page
    assert "**worse**" in next(line["accuracy against no mixing"] for line in lines if line["method"] == CONTROL)


def test_the_file_here_is_whole_and_of_the_settings_here() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    runs = {(row["model"], row["method"], row["seed"]) for row in found["rows"]}
    assert runs == set(product(ARCHITECTURES, WAYS, range(10)))
    assert len(found["rows"]) == len(runs)
    settings = {name.replace("_", " "): value for name, value in vars(Settings()).items()}
    assert found["environment"] | settings == found["environment"]
