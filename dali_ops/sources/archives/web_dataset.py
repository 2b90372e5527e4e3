"""Tar shards as WebDataset writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from os import PathLike
from typing import Any

import numpy as np

from dali_ops.sources.archives.archive import Archive, Member, class_index
from dali_ops.sources.archives.shard_files import Paths, ShardFile
from dali_ops.sources.archives.tar_members import TarMember, tar_members
from dali_ops.sources.first_label import check_first_label
from dali_ops.sources.folder_scan import EXTENSIONS
from dalimix.support.lists import texts

NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)
ABOUT_THE_SHARD = re.compile(r"__[^/]*__/")
IMAGES = tuple(extension[1:] for extension in EXTENSIONS)
LABEL = re.compile(rb"\s*(-?\d{1,18})\s*")  # what int64 holds
LONGEST_LABEL = 64  # bytes


class WebDataset(Archive):
    """The images of uncompressed tar shards, ``WebDataset("train-{0000..0146}.tar")``, each at hand by its number.

    Members whose names are the same up to the first dot of the last part, and which follow each other, are one sample:
    ``a/7.jpg`` and ``a/7.cls``. What comes after the dot is the extension, in either case. Left out are names without
    a dot, hidden ones (``._7.jpg``) and what is in a folder such as ``__meta__``, as WebDataset does
    (https://github.com/webdataset/webdataset).

    Nothing is read ahead, and no order is kept or shuffled: that is up to who asks. The shards are mapped into memory;
    they must not change meanwhile.

    All headers are read when it is made, unless an `index` keeps them. What cannot be used is left out and told in
    `corrupt`, a line each, and all the rest is listed: a sample without an image or a label, with one that is empty or
    cut, with two members of one extension, or with a label that is no class index; bytes that belong to no member,
    since a header is damaged; an empty file; a tar that is not closed by zeros, since members may have been lost with
    them. Whether an image can be decoded only shows when it is.

    Args:
        shards: a path, a pattern with braces or stars, or a sequence of paths, see `find_shards`.
        images: extensions of images; if a sample has several, the first that is here. Text: with ``;`` between them.
            In either case, with or without a dot before them.
        label: the extension of the class index in decimal digits.
        first_label: the label of class 0: 1 for shards that count from 1.
        classes: names of the classes; None: their numbers as text, up to the highest, for labels below 2**20, with a
            warning if class 0 has no image.
        index: file that keeps the listing, such as ``"train.index.npz"``. It is made if it is not there, and anew if
            it was made of other shards or options.

    Attributes:
        names: ``SHARD/MEMBER`` of each image, shards relative to the folder that holds them all.
        shards, shard, offset, length: see `Archive`.

    Raises:
        TypeError, ValueError: the arguments; a shard that is missing or compressed; no usable image at all; an index
            that is something else.
        OSError: a shard or the index cannot be opened.
        ModuleNotFoundError: braceexpand is missing, for a pattern with braces.

    Examples:
        >>> source = WebDataset(shards + "/train-{0..1}.tar")
        >>> len(source), source.labels.tolist(), source.names[0], source.corrupt
        (4, [0, 1, 2, 0], 'train-0.tar/000.jpg', [])
    """

    chosen_by = "the arguments images and label choose the extensions, and first_label is subtracted"

    def __init__(
        self,
        shards: Paths,
        *,
        images: str | Sequence[str] = IMAGES,
        label: str = "cls",
        first_label: int = 0,
        classes: Sequence[str] | None = None,
        index: str | PathLike[str] | None = None,
    ) -> None:
        given = images.split(";") if isinstance(images, str) else texts("images", images, "extensions")
        extensions = [_extension(one, "images") for one in given]
        if not extensions:
            raise ValueError("images must be one extension at least, such as 'jpg', got none")
        label, first_label = _extension(label, "label"), check_first_label(first_label)
        options: dict[str, Any] = {"kind": "tar", "images": extensions, "label": label}
        if first_label:  # without it, indices of earlier versions still fit
            options["first_label"] = first_label
        lister = partial(_list, images=extensions, label=label, first_label=first_label)
        super().__init__(shards, lister, options, classes, index)


def _extension(given: str, name: str) -> str:
    if not isinstance(given, str) or not given.strip(". ") or "/" in given:
        usual = "cls" if name == "label" else "jpg"
        raise TypeError(f"{name} must be an extension, such as {usual!r}, got {given!r:.100}")
    return given.strip().removeprefix(".").lower()


def _list(
    shard: ShardFile, content: np.ndarray, corrupt: list[str], *, images: Sequence[str], label: str, first_label: int
) -> Iterator[Member]:
    names: set[str] = set()
    for key, members in groupby(_named(tar_members(shard, content, corrupt)), itemgetter(0)):
        try:
            sample = _by_extension(members)
            image = _chosen(sample, images, key, "image")
            number = _number(content, _chosen(sample, [label], key, "label"))
            if image.name in names:
                raise ValueError(f"{image.name}: a member of that name came before")
        except ValueError as error:
            corrupt.append(f"{shard.name}/{error}")
            continue
        names.add(image.name)
        yield Member(f"{shard.name}/{image.name}", image.offset, image.size, class_index(number, first_label))


def _named(members: Iterable[TarMember]) -> Iterator[tuple[str, str, TarMember]]:
    """Members with the key of their sample and their extension."""
    for member in members:
        name = NAME.fullmatch(member.name)
        if name is not None and not ABOUT_THE_SHARD.match(member.name):
            yield name[1], name[2].lower(), member


def _by_extension(members: Iterable[tuple[str, str, TarMember]]) -> dict[str, TarMember]:
    sample: dict[str, TarMember] = {}
    for _, extension, member in members:
        if extension in sample:
            raise ValueError(f"{member.name}: the sample has a member of that extension already")
        sample[extension] = member
    return sample


def _chosen(sample: dict[str, TarMember], extensions: Sequence[str], key: str, what: str) -> TarMember:
    member = next((sample[extension] for extension in extensions if extension in sample), None)
    if member is None:
        raise ValueError(f"{key}: no {what} ({', '.join(extensions)}), only {', '.join(sample)}")
    if member.problem:
        raise ValueError(f"{member.name}: {member.problem}")
    return member


def _number(content: np.ndarray, member: TarMember) -> int:
    text = content[member.offset : member.offset + min(member.size, LONGEST_LABEL + 1)].tobytes()
    number = LABEL.fullmatch(text)
    if number is None or len(text) > LONGEST_LABEL:
        raise ValueError(f"{member.name}: expected a class index in digits, got {text[:20]!r}")
    return int(number[1])
