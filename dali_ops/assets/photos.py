"""Small folders of real photographs, for trying and timing the pipeline without a data set."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from dalimix.support.packages import need
from dalimix.support.paths import errors_name, local_path

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
IMAGENET_SIZE = (500, 375)  # of a usual training image, which weighs about 110 kB
ENOUGH = 105_000  # bytes; the next higher quality of a JPEG weighs some kB more
# Standard deviation of a pixel's brightness. Cameras leave such a grain; these photographs, small as they are, have
# lost it, and would weigh as much only at qualities that nobody uses.
GRAIN = 8
QUALITIES = range(50, 101)

Encode = Callable[["Image.Image", float, float, float], bytes]  # a JPEG of one of `CROPS`


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
    return _make(local_path(root, "root"), "{name}_{n}.jpg", _as_it_is)


def make_imagenet_like_folder(root: Path) -> Path:
    """The same with JPEGs that are as large as ImageNet's usually are, to time with: 500 × 375 pixels, about 110 kB.

    The files are named ``root/<class>/<class>_500x375_<n>.jpg``.
    """
    width, height = IMAGENET_SIZE
    return _make(local_path(root, "root"), f"{{name}}_{width}x{height}_{{n}}.jpg", _as_in_imagenet)


def _make(root: Path, pattern: str, encode: Encode) -> Path:
    files = _files(pattern)
    if _is_complete(root, files):
        return root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} exists and is not a complete photo folder; give a new or empty one")
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as beside:
        made = Path(beside) / "photos"
        _write_all(made, files, encode)
        _move(made, root, files)
    return root


def _files(pattern: str) -> list[list[str]]:
    """Places in the folder for every class, in the order of `PHOTOS` and `CROPS`."""
    return [[f"{name}/{pattern.format(name=name, n=n)}" for n in range(len(CROPS))] for name, _, _ in PHOTOS]


def _is_complete(root: Path, files: list[list[str]]) -> bool:
    return all((root / file).is_file() for places in files for file in places)


def _move(made: Path, root: Path, files: list[list[str]]) -> None:
    try:
        made.replace(root)
    except OSError:
        if not _is_complete(root, files):  # another process may have been faster
            raise


def _write_all(root: Path, files: list[list[str]], encode: Encode) -> None:
    for (name, package, place), places in zip(PHOTOS, files, strict=True):
        photo = _photo(package, place)
        (root / name).mkdir(parents=True)
        for file, crop in zip(places, CROPS, strict=True):
            data = encode(photo, *crop)
            with errors_name(root / file):
                (root / file).write_bytes(data)


def _photo(package: str, place: str) -> Image.Image:
    """The photograph at `place` inside an installed package, as RGB."""
    need("making the photographs", "PIL", package)
    from PIL import Image

    spec: Any = find_spec(package)  # finds the folder without importing the package
    with Image.open(Path(spec.submodule_search_locations[0]) / place) as photo:
        return photo.convert("RGB")


def _as_it_is(photo: Image.Image, side: float, across: float, down: float) -> bytes:
    return _jpeg(_cut(photo, side, across, down), quality=90)


def _cut(photo: Image.Image, side: float, across: float, down: float) -> Image.Image:
    """Crop to `side` of both sides; enlarge where the shorter side would be below `SHORTER_SIDE`."""
    width, height = round(photo.width * side), round(photo.height * side)
    left, top = round((photo.width - width) * across), round((photo.height - height) * down)
    scale = max(1.0, SHORTER_SIDE / min(width, height))
    size = (round(width * scale), round(height * scale))
    return photo.resize(size, box=(left, top, left + width, top + height))


def _as_in_imagenet(photo: Image.Image, side: float, across: float, down: float) -> bytes:
    """Crop to `side` of the largest window of that shape; at the lowest quality that weighs enough."""
    width = min(photo.width, photo.height * IMAGENET_SIZE[0] / IMAGENET_SIZE[1]) * side
    height = width * IMAGENET_SIZE[1] / IMAGENET_SIZE[0]
    left, top = (photo.width - width) * across, (photo.height - height) * down
    grainy = _with_grain(photo.resize(IMAGENET_SIZE, box=(left, top, left + width, top + height)))
    enough = bisect_left(QUALITIES, ENOUGH, hi=len(QUALITIES) - 1, key=lambda q: len(_jpeg(grainy, q)))
    return _jpeg(grainy, QUALITIES[enough])


def _with_grain(photo: Image.Image) -> Image.Image:
    from PIL import Image

    pixels = np.asarray(photo)
    grain = np.random.default_rng(0).normal(0, GRAIN, (*pixels.shape[:2], 1))
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def _jpeg(photo: Image.Image, quality: int) -> bytes:
    file = BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return file.getvalue()
