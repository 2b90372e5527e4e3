"""A small folder of real photographs, for trying the pipeline without a data set."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# Class, package and place in it. The files lie inside the wheels, so nothing is downloaded; they are opened as files
# because the packages' own loaders take seconds to import.
PHOTOS = (
    ("astronaut", "skimage", "data/astronaut.png"),
    ("cat", "skimage", "data/chelsea.png"),
    ("coffee", "skimage", "data/coffee.png"),
    ("rocket", "skimage", "data/rocket.jpg"),
    ("temple", "sklearn", "datasets/images/china.jpg"),
    ("flower", "sklearn", "datasets/images/flower.jpg"),
)
# Share of each side that is kept (of the area, 70 to 100 %), and where in the remaining play: left to right, top to
# bottom. No crop is small enough to lose its subject.
CROPS = (
    (1.00, 0.0, 0.0),
    (0.84, 0.5, 0.5),
    (0.88, 0.0, 0.0),
    (0.88, 1.0, 0.0),
    (0.88, 0.0, 1.0),
    (0.88, 1.0, 1.0),
    (0.92, 0.3, 0.6),
    (0.96, 0.8, 0.2),
)
SHORTER_SIDE = 256  # pixels, at least


def make_photo_folder(root: Path) -> Path:
    """Write 48 JPEGs in 6 class folders, 8 crops of one photograph each, as ``root/<class>/<class>_<n>.jpg``.

    The files are the same on every run. A folder that is complete already is left as it is; one that is being made
    appears under its name only when it is complete.

    Args:
        root: the folder to make; its parents are made too.

    Returns:
        `root`.

    Raises:
        ImportError: Pillow, scikit-image or scikit-learn is missing.
        FileExistsError: `root` holds something else.
    """
    root = Path(root)
    if _is_complete(root):
        return root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} exists and is not a complete photo folder; give a new or empty one")
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as beside:
        made = Path(beside) / "photos"
        _write_all(made)
        _move(made, root)
    return root


def _files(root: Path) -> list[list[Path]]:
    """The paths of every class, in the order of `PHOTOS` and `CROPS`."""
    return [[root / name / f"{name}_{n}.jpg" for n in range(len(CROPS))] for name, _, _ in PHOTOS]


def _is_complete(root: Path) -> bool:
    return all(path.is_file() for paths in _files(root) for path in paths)


def _move(made: Path, root: Path) -> None:
    try:
        made.replace(root)
    except OSError:
        if not _is_complete(root):  # another process may have been faster
            raise


def _write_all(root: Path) -> None:
    for (_, package, place), paths in zip(PHOTOS, _files(root), strict=True):
        photo = _photo(package, place)
        paths[0].parent.mkdir(parents=True)
        for path, crop in zip(paths, CROPS, strict=True):
            _cut(photo, *crop).save(path, quality=90)


def _photo(package: str, place: str) -> Image.Image:
    """The photograph at `place` inside an installed package, as RGB."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("the photographs need Pillow: pip install 'dalimix[demo]'") from error
    spec = find_spec(package)  # finds the folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the photographs come with {package}, which is missing: pip install 'dalimix[demo]'")
    with Image.open(Path(spec.submodule_search_locations[0]) / place) as photo:
        return photo.convert("RGB")


def _cut(photo: Image.Image, side: float, across: float, down: float) -> Image.Image:
    """Crop to `side` of both sides; enlarge where the shorter side would be below `SHORTER_SIDE`."""
    width, height = round(photo.width * side), round(photo.height * side)
    left, top = round((photo.width - width) * across), round((photo.height - height) * down)
    scale = max(1.0, SHORTER_SIDE / min(width, height))
    size = (round(width * scale), round(height * scale))
    return photo.resize(size, box=(left, top, left + width, top + height))
