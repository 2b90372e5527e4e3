"""The folders of photographs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dali_ops.assets import photos
from dali_ops.assets.photos import make_imagenet_like_folder, make_photo_folder

pytest.importorskip("skimage")
pytest.importorskip("sklearn")
CLASSES = ["astronaut", "cat", "coffee", "flower", "rocket", "temple"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photo_folder(tmp_path_factory.mktemp("photos") / "deeper" / "folder")


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_imagenet_like_folder(tmp_path_factory.mktemp("heavy") / "photos")


def test_folder_has_eight_different_photographs_of_each_class(folder: Path) -> None:
    files = sorted(folder.rglob("*.*"))
    assert sorted(path.name for path in folder.iterdir()) == CLASSES
    assert [sum(path.parent.name == name for path in files) for name in CLASSES] == [8] * 6
    assert len({path.read_bytes() for path in files}) == 48
    for path in files:
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert min(image.size) >= 256
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]  # nothing is left beside it


def test_complete_folder_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "_write_all", lambda root: pytest.fail("written again"))
    assert make_photo_folder(folder) == folder


def test_folder_is_the_same_every_time_and_may_exist_empty(folder: Path, tmp_path: Path) -> None:
    again = make_photo_folder(tmp_path)
    for path in folder.rglob("*.jpg"):
        assert (again / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_interrupted_run_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(photos, "_cut", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_photo_folder(tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_folder_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a complete photo folder"):
        make_photo_folder(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_photographs_are_as_imagenets(heavy: Path, tmp_path: Path) -> None:
    files = sorted(heavy.rglob("*.*"))
    weights = [file.stat().st_size for file in files]
    assert len(files) == len({file.read_bytes() for file in files}) == 48
    assert 105_000 < sum(weights) / 48 < 115_000
    assert min(weights) > 100_000
    assert max(weights) < 120_000
    for file in files:
        with Image.open(file) as photo:
            photo.load()
            assert (photo.size, photo.format, photo.mode) == ((500, 375), "JPEG", "RGB")
    again = make_imagenet_like_folder(tmp_path / "again")
    assert all((again / file.relative_to(heavy)).read_bytes() == file.read_bytes() for file in files)


def test_the_photographs_of_the_demo_are_not_taken_for_them(folder: Path) -> None:
    with pytest.raises(FileExistsError, match="not a complete photo folder"):
        make_imagenet_like_folder(folder)


def test_the_grainy_photograph_is_still_the_photograph(folder: Path, heavy: Path) -> None:
    """The whole of the astronaut, 512 × 512, without a strip above and below: 4 : 3 from the top."""
    with Image.open(heavy / "astronaut" / "astronaut_500x375_0.jpg") as made:
        pixels = np.asarray(made.resize((32, 24), Image.Resampling.BOX)).astype(int)
    with Image.open(folder / "astronaut" / "astronaut_0.jpg") as photo:
        top = photo.crop((0, 0, 512, 384)).resize((32, 24), Image.Resampling.BOX)
    assert np.abs(pixels - np.asarray(top).astype(int)).mean() < 3
