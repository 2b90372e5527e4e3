"""The label maps of TokenLabeling: what is read of one, and the store that is made of all."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dalimix.stores import HeatmapStore, token_labels
from dalimix.stores.token_labels import import_token_labels, token_label_maps
from tests.support.stores import Trap, contents, refused

FILES = [f"n0{k % 2}/n0{k % 2}_{k}.JPEG" for k in range(7)]
LABELS = [3, 700, 0, 999, 3, 5, 700]
K, SIDE = 5, 4


def label_map(seed: int, label: int, side: int = SIDE) -> Any:
    """Scores [k, h, w] and classes [k, h, w], of which `label` is one at about half of the places."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.standard_normal((K, side, side)), axis=0)[::-1] * 4
    classes = np.stack([rng.permutation(1000)[:K] for _ in range(side * side)], 1).reshape(K, side, side)
    classes[classes == label] = 1000
    seen = rng.random((side, side)) < 0.5
    place = rng.integers(K, size=(side, side))
    np.put_along_axis(classes, place[None], np.where(seen, label, 1001)[None], 0)
    return torch.from_numpy(np.stack([scores, classes]))


def expected(maps: Any, label: int) -> np.ndarray:
    scores, classes = maps.float().numpy()
    heatmap = np.zeros(scores.shape[1:], np.float32)
    for k, y, x in np.argwhere(classes == label):
        heatmap[y, x] = scores[k, y, x]
    return heatmap


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files as TokenLabeling writes them: half precision, and not contiguous."""
    for k, (file, label) in enumerate(zip(FILES, LABELS, strict=True)):
        place = (tmp_path / "top5" / file).with_suffix(".pt")
        place.parent.mkdir(parents=True, exist_ok=True)
        channels_last = label_map(k, label).half().permute(0, 2, 3, 1).contiguous()
        torch.save(channels_last.permute(0, 3, 1, 2), place)
    return tmp_path / "top5"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("label", [0, 3, 999])
def test_the_score_of_the_true_class(tmp_path: Path, dtype: str, label: int) -> None:
    maps = label_map(7, label).to(getattr(torch, dtype))
    torch.save(maps, tmp_path / "a.pt")
    heatmap = token_label_maps(str(tmp_path / "a.pt"), label)
    assert (heatmap.shape, heatmap.dtype) == ((SIDE, SIDE), np.dtype(np.float32))
    assert heatmap.tolist() == expected(maps, label).tolist()
    assert (heatmap > 0).any()
    assert (heatmap < 0).any()
    assert (heatmap == 0).any()


def test_by_hand(tmp_path: Path) -> None:
    scores = [[[9, 8], [7, 6]], [[5, -4], [3, 2]]]
    classes = [[[1, 2], [3, 1]], [[2, 1], [2, 3]]]
    torch.save(torch.tensor([scores, classes], dtype=torch.bfloat16), tmp_path / "a.pt")
    assert token_label_maps(tmp_path / "a.pt", 1).tolist() == [[9, -4], [0, 6]]
    assert token_label_maps(tmp_path / "a.pt", np.int64(2)).tolist() == [[5, 8], [3, 0]]
    assert token_label_maps(tmp_path / "a.pt", 0).tolist() == [[0, 0], [0, 0]]


def test_import(folder: Path, tmp_path: Path) -> None:
    store = import_token_labels(folder, FILES, LABELS, tmp_path / "store")
    assert (store.files, store.grid, store.dtype, store.model) == (FILES, 4, "uint8", "TokenLabeling's maps in top5")
    for k, label in enumerate(LABELS):
        heatmap = expected(label_map(k, label).half(), label)
        scaled = np.maximum(heatmap / np.abs(heatmap).max(), 0)
        np.testing.assert_allclose(store.maps[k], scaled * 255, atol=0.5001)
    with refused(tmp_path, "store exists already"):
        import_token_labels(folder, FILES, LABELS, tmp_path / "store")


def test_a_file_is_named_up_to_its_last_dot(tmp_path: Path) -> None:
    """And a dot in the name of a folder is no suffix."""
    for name, label in {"n.01/a.b.pt": 1, "n.01/a.c.pt": 2, "n.01/.d.pt": 3}.items():
        (tmp_path / "top5" / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(torch.stack([torch.eye(2)[None], torch.full((1, 2, 2), label)]), tmp_path / "top5" / name)
    files = ["n.01/a.b.JPEG", "n.01/a.c.JPEG", "n.01/.d.JPEG"]
    store = import_token_labels(tmp_path / "top5", files, [1, 2, 3], tmp_path / "store")
    assert store.maps.tolist() == [[[255, 0], [0, 255]]] * 3


def test_import_is_stopped_and_gone_on_with(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_token_labels(folder, FILES, LABELS, tmp_path / "whole" / "store")
    monkeypatch.setattr(token_labels, "SHARD", 3)
    counts: list[int] = []

    def advance(count: int) -> None:
        counts.append(count)
        if counts == [0, 3]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_token_labels(folder, FILES, LABELS, tmp_path / "parts" / "store", advance)
    (folder / FILES[1]).with_suffix(".pt").unlink()  # is not read again
    import_token_labels(folder, FILES, LABELS, tmp_path / "parts" / "store", advance)
    assert counts == [0, 3, 3, 3, 1]
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_import_names_the_file(folder: Path, tmp_path: Path) -> None:
    third = (folder / FILES[2]).with_suffix(".pt")
    torch.save(label_map(0, 0, side=5), third)
    with pytest.raises(ValueError, match=r"top5/n00/n00_2.pt has a map of 5 × 5 cells, but the first has 4"):
        import_token_labels(folder, FILES, LABELS, tmp_path / "store")
    third.unlink()
    with pytest.raises(ValueError, match=r"top5/n00/n00_2.pt is missing, expected a label map of TokenLabeling"):
        import_token_labels(folder, FILES, LABELS, tmp_path / "store")
    torch.save(label_map(2, 0).index_fill_(0, torch.tensor(0), np.nan), third)
    with pytest.raises(ValueError, match=r"top5/n00/n00_2.pt has NaN or infinite values"):
        import_token_labels(folder, FILES, LABELS, tmp_path / "store")
    with pytest.raises(ValueError, match="store is not finished: 0 of 7 maps"):
        HeatmapStore.open(tmp_path / "store")


@pytest.mark.parametrize(("files", "labels"), [(FILES, LABELS[:6]), (FILES[:6], LABELS), ([], [])])
def test_files_and_labels_of_other_lengths(folder: Path, tmp_path: Path, files: list[str], labels: list[int]) -> None:
    message = f"files and labels must be lists of one length from 1, got {len(files)} and {len(labels)}"
    with refused(tmp_path, message):
        import_token_labels(folder, files, labels, tmp_path / "store")


GOOD = label_map(0, 3)
NO_TENSOR = r"a.pt must hold one floating tensor \[2, k, h, h\], got "
SHAPE = r"a.pt must hold a tensor \[2, k, h, h\], got "
WRONG: list[tuple[Any, str]] = [
    ([GOOD, GOOD], NO_TENSOR + "<class 'list'>"),
    ({"maps": GOOD}, NO_TENSOR + "<class 'dict'>"),
    (GOOD.long(), NO_TENSOR + "torch.int64"),
    (GOOD[0], SHAPE + r"\[5, 4, 4\]"),
    (torch.zeros(3, 5, 4, 4), SHAPE + r"\[3, 5, 4, 4\]"),
    (torch.zeros(1, 5, 4, 4), SHAPE + r"\[1, 5, 4, 4\]"),
    (torch.zeros(2, 5, 4, 3), SHAPE + r"\[2, 5, 4, 3\]"),
    (torch.zeros(2, 0, 4, 4), SHAPE + r"\[2, 0, 4, 4\]"),
    (torch.zeros(2, 5, 0, 0), SHAPE + r"\[2, 5, 0, 0\]"),
    (np.zeros((2, 5, 4, 4)), "a.pt holds something else than tensors, maybe code, which was not run"),
]


@pytest.mark.parametrize(("value", "message"), WRONG, ids=lambda v: str(v)[-20:])
def test_files_that_hold_something_else(tmp_path: Path, value: Any, message: str) -> None:
    torch.save(value, tmp_path / "a.pt")
    with refused(tmp_path, message):
        token_label_maps(tmp_path / "a.pt", 3)


@pytest.mark.parametrize(("half", "number", "told"), [
    (0, np.nan, "has NaN or infinite values"),
    (1, np.nan, "has NaN or infinite values"),
    (0, -np.inf, "has NaN or infinite values"),
    (1, np.inf, "has NaN or infinite values"),
    (1, 0.5, "must have whole numbers from 0 among the class indices, .*: got 0.5"),
    (1, -1, "must have whole numbers from 0 among the class indices, .*: got -1"),
], ids=str)  # fmt: skip
def test_numbers_that_mean_nothing(tmp_path: Path, half: int, number: float, told: str) -> None:
    """One of them, at a place where the teacher saw another class than the image's."""
    maps = torch.stack([torch.ones(2, 2, 2), torch.tensor([3, 4])[:, None, None].expand(2, 2, 2)])
    maps[half, 1, 0, 0] = number
    torch.save(maps, tmp_path / "a.pt")
    with refused(tmp_path, f"a.pt {told}"):
        token_label_maps(tmp_path / "a.pt", 3)


def test_a_folder_that_is_none(folder: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", (folder / FILES[0]).with_suffix(".pt")):
        with refused(tmp_path, f"{place} is no folder, expected that of TokenLabeling's .pt files"):
            import_token_labels(place, FILES, LABELS, tmp_path / "store")
    first = (folder / FILES[0]).with_suffix(".pt")
    first.unlink()
    os.mkfifo(first)
    with pytest.raises(ValueError, match=r"n00_0\.pt is no file, expected a label map of TokenLabeling"):
        import_token_labels(folder, FILES, LABELS, tmp_path / "store")


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save(Trap(tmp_path / "trap"), tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Trap(tmp_path / "trap"), 2))
    for name in ("a.pt", "b.pt"):
        with refused(tmp_path, f"{name} holds something else than tensors, maybe code, which was not run"):
            token_label_maps(tmp_path / name, 3)
    torch.load(tmp_path / "a.pt", weights_only=False)
    assert (tmp_path / "trap").is_dir()


def test_damaged_files(tmp_path: Path) -> None:
    torch.save(GOOD, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for data in (b"", b"hello", whole[:200], whole[:-60]):
        (tmp_path / "a.pt").write_bytes(data)
        with refused(tmp_path, "a.pt is damaged: (EOF|Key|Runtime)Error"):
            token_label_maps(tmp_path / "a.pt", 3)
    shutil.rmtree(tmp_path)
    with pytest.raises(ValueError, match="a.pt is missing, expected a label map of TokenLabeling"):
        token_label_maps(tmp_path / "a.pt", 3)


@pytest.mark.parametrize(("dtype", "first"), [("bfloat16", 256), ("float16", 2048), ("float32", 2**24)])
def test_class_indices_that_the_dtype_rounds(tmp_path: Path, dtype: str, first: int) -> None:
    """first + 1 is written as `first`."""
    kind = getattr(torch, dtype)
    assert torch.tensor(first + 1).to(kind) == first
    torch.save(torch.stack([torch.ones(1, 2, 2), torch.full((1, 2, 2), first - 1)]).to(kind), tmp_path / "a.pt")
    assert token_label_maps(tmp_path / "a.pt", first - 1).all()
    message = f"a.pt has torch.{dtype} class indices, which are not exact for class {first}"
    with pytest.raises(ValueError, match=message):
        token_label_maps(tmp_path / "a.pt", first)


@pytest.mark.parametrize("label", [-1, 2.0, True, None, "3"])
def test_wrong_label(tmp_path: Path, label: Any) -> None:
    torch.save(GOOD, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=f"label of .*a.pt must be a whole number from 0, got {label!r}"):
        token_label_maps(tmp_path / "a.pt", label)


def test_tensors_that_have_not_all_their_numbers(tmp_path: Path) -> None:
    """The first would be 32 TB."""
    many = torch.zeros(1).expand(2, 4, 1 << 20, 1 << 20)
    for value, layout in ((many, "strided on cpu"), (GOOD.to_sparse(), "sparse_coo on cpu"), (GOOD.to("meta"), ".*")):
        torch.save(value, tmp_path / "a.pt")
        with refused(
            tmp_path, f"a.pt must hold a tensor with all its numbers, got one of torch.{layout}|a.pt is damaged"
        ):
            token_label_maps(tmp_path / "a.pt", 3)


def test_tensors_of_a_training(tmp_path: Path) -> None:
    """They ask for gradients, or are of a dtype that computes nothing."""
    torch.save(torch.nn.Parameter(GOOD), tmp_path / "a.pt")
    assert token_label_maps(tmp_path / "a.pt", 3).tolist() == expected(GOOD, 3).tolist()
    torch.save(torch.ones(2, 1, 2, 2).to(torch.float8_e4m3fn), tmp_path / "b.pt")
    assert token_label_maps(tmp_path / "b.pt", 1).tolist() == [[1, 1], [1, 1]]


def test_labels_of_any_library_and_paths_of_any_kind(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    import_token_labels(folder, FILES, LABELS, tmp_path / "whole" / "store")
    for k, labels in enumerate((np.array(LABELS), torch.tensor(LABELS)[:, None], tuple(LABELS))):
        import_token_labels(str(folder).replace(str(tmp_path), "~"), FILES, labels, f"~/{k}/store")
        assert contents(tmp_path / str(k)) == contents(tmp_path / "whole")
    with pytest.raises(TypeError, match=r"labels\[0\] must be a class index, a whole number, got the float 3\.0"):
        import_token_labels(folder, FILES, [float(label) for label in LABELS], tmp_path / "other")  # type: ignore[misc]
    with pytest.raises(ValueError, match="files must be paths relative to the data set's root, .*, got '/a.JPEG'"):
        import_token_labels(folder, ["/a.JPEG"], [0], tmp_path / "other")
