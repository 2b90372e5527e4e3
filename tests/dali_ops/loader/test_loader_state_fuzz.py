"""Damaged and edited states: each is refused, and nothing has happened, or gives the very batches that came next."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch

from dali_ops.loader.state import sealed
from dalimix import CutMix, Mixup
from tests.support.data import coloured
from tests.support.data.damaged_bytes import damaged
from tests.support.fuzz.hostile import values
from tests.support.fuzz.rounds import rounds
from tests.support.loaders import load
from tests.support.same import same

# Five batches.
OPTIONS: dict[str, Any] = {"size": 8, "dtype": "uint8", "batch_size": 5, "drop_last": False, "num_threads": 1}
FIELDS = ["identity", "seed", "epoch", "step", "start", "skipped", "pipeline", "checksum"]


root = coloured.noisy_root


class Subject:
    """A loader that takes states, another one's states, and what follows each of them."""

    def __init__(self, root, **options):
        loader = load(root, **OPTIONS, **options)
        self.states, batches = [], []
        for step, batch in enumerate(batch for _ in range(3) for batch in loader):
            batches.append(batch)
            if step in (0, 3, 4, 6):
                self.states.append((loader.state_dict(), step + 1))
        self.following = [(state, batches[step : step + 2]) for state, step in self.states]
        self.loader = load(root, **OPTIONS, **options)

    def next_two(self):
        batches = []
        while len(batches) < 2:
            for batch in self.loader:
                batches.append(batch)
                if len(batches) == 2:
                    break
        return batches

    def complaint(self, state, expected):
        """What is wrong with how a state was taken: None if it was refused, or gave the right batches."""
        before = self.loader.state_dict()
        try:
            self.loader.load_state_dict(state)
        except (ValueError, TypeError) as error:
            named = "state" in str(error)
            return None if named and self.loader.state_dict() == before else f"refused, but {error}"
        except Exception as error:
            return repr(error)
        return None if same(self.next_two(), expected) else "other batches"


@pytest.fixture(scope="module")
def subjects(root):
    return [Subject(root, method=CutMix(), keep_info=True), Subject(root, method=Mixup(), form="pair"),
            Subject(root, training=False), Subject(root, rank=1, world_size=2, seed=3)]  # fmt: skip


def near(value, rng):
    """Something of the same type, a little different."""
    if isinstance(value, dict):
        name = rng.choice(list(value))
        return {**value, name: near(value[name], rng)}
    if isinstance(value, list):
        return [*value, rng.randrange(30)] if rng.random() < 0.5 or not value else [near(v, rng) for v in value]
    if isinstance(value, (bytes, str)):
        return damaged(value, rng) if isinstance(value, bytes) else value[1:] + rng.choice("0aé")
    if isinstance(value, (int, float)):
        return rng.choice([value + 1, value - 1, -value, float(value), bool(value), value + (1 << 40), 1 << 70])
    return rng.choice([0, "", None, False])


def edited(state, rng):
    """One field is changed, or missing, or there is one more; or several."""
    state = copy.deepcopy(state)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        name, way = rng.choice(FIELDS), rng.random()
        if way < 0.1:
            state.pop(name, None)
        elif way < 0.2:
            state[rng.choice(["x", 1, None])] = rng.choice(values())
        elif way < 0.6:
            state[name] = near(state.get(name), rng)
        else:
            state[name] = rng.choice(values())
    return state


def of_another_moment(state, other, rng):
    """Parts of two states of one loader."""
    return {name: rng.choice([state, other])[name] for name in FIELDS}


def test_edited_states(subjects):
    for rng in rounds(300):
        subject = rng.choice(subjects)
        state, expected = rng.choice(subject.following)
        other, _ = rng.choice(subject.following)
        wrong = edited(state, rng) if rng.random() < 0.7 else of_another_moment(state, other, rng)
        if str(wrong.get("checksum")) == other["checksum"]:  # if it is taken at all, it is that other one
            expected = next(batches for known, batches in subject.following if known is other)
        assert subject.complaint(wrong, expected) is None, {k: v for k, v in wrong.items() if k != "pipeline"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_damaged_files(subjects, way):
    """What still can be read of them; it is torch's or pickle's to refuse the rest."""
    read = 0
    for rng in rounds(150):
        subject = rng.choice(subjects)
        state, expected = rng.choice(subject.following)
        try:
            state = loaded(damaged(saved(state, way), rng), way)
        except Exception:
            continue
        read += 1
        assert subject.complaint(state, expected) is None, state
    assert read


def saved(state, way):
    if way == "pickle":
        return pickle.dumps(state)
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def loaded(data, way):
    if way == "torch":
        return torch.load(io.BytesIO(data), weights_only=True)
    return Careful(io.BytesIO(data)).load()


class Careful(pickle.Unpickler):
    """Of plain types: a damaged name of a function must not be called."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"{module}.{name}")


RANGES: list[tuple[str, list[Any]]] = [
    ("seed", [-1, 1 << 64, 1.0, True, None]),
    ("epoch", [-1, 1 << 63, "0"]),
    ("step", [-1, 5, 6, 1 << 40, 2.0]),
    ("start", [[0], [0, 5], [-1, 0], [9, 0], (0, 0), [0, 0, 0], [0, True]]),
    ("skipped", [[24], [-1], [1, 1], [2, 1], [0.0], (1,), None, {1}]),
    ("pipeline", [None, "x", bytearray(b"x"), b"", b"x"]),
]


@pytest.mark.parametrize(("name", "wrong"), [(name, value) for name, wrong in RANGES for value in wrong],
                         ids=[f"{name} {k}" for name, wrong in RANGES for k in range(len(wrong))])  # fmt: skip
def test_every_field_is_checked_also_where_the_checksum_fits(subjects, name, wrong):
    """Somebody may have made it on purpose."""
    state, _ = subjects[0].following[0]
    try:
        state = sealed({**state, name: wrong})
    except TypeError:
        state = {**state, name: wrong}
    before = subjects[0].loader.state_dict()
    message = f"the state is damaged(: {name} is|, or .*: DALI cannot restore its pipeline)"
    with pytest.raises(ValueError, match=message):
        subjects[0].loader.load_state_dict(state)
    assert subjects[0].loader.state_dict() == before


@pytest.mark.parametrize("name", ["dali", "size", "rank", "drop_last"])
def test_facts_of_any_type(subjects, name):
    state, expected = subjects[0].following[0]
    for value in values():
        wrong = {**state, "identity": {**state["identity"], name: value}}
        assert subjects[0].complaint(wrong, expected) is None, value


def test_a_refused_state_in_the_middle_of_a_loop_changes_nothing(root):
    loader, plain = (load(root, CutMix(), **OPTIONS) for _ in range(2))
    state, running = loader.state_dict(), iter(loader)
    first = next(running)
    for wrong in (None, {**state, "step": 99}, {**state, "step": 1}, sealed({**state, "pipeline": b"x"})):
        with pytest.raises((ValueError, TypeError), match="state"):
            loader.load_state_dict(wrong)
    assert same([first, *running], list(plain))


def test_a_state_of_numbers_from_elsewhere(subjects):
    """JSON has lists and dicts of its own, and no bytes: all but the pipeline goes through it."""
    import json

    state, expected = subjects[0].following[1]
    through = json.loads(json.dumps({name: value for name, value in state.items() if name != "pipeline"}))
    assert subjects[0].complaint({**through, "pipeline": state["pipeline"]}, expected) is None
    subjects[0].loader.load_state_dict({**through, "pipeline": state["pipeline"]})


def test_states_of_all_processes(root):
    loader, plain = load(root, CutMix(), **OPTIONS).as_dataset(gather=True), load(root, CutMix(), **OPTIONS)
    state = loader.state_dict()
    wrong = [{"ranks": ranks} for ranks in (1, [], [None], state["ranks"] * 2)]
    for given in (None, {}, plain.state_dict(), *wrong):
        with pytest.raises((ValueError, TypeError), match="state"):
            loader.load_state_dict(given)
    with pytest.raises(TypeError, match=r"got that of all processes, which as_dataset\(gather=True\) takes"):
        plain.load_state_dict(state)
    loader.load_state_dict(state)
    assert same(list(loader), list(plain))
