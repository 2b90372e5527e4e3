"""WebDataset of damaged tars: what is hit is told, and all else is there."""

import bz2
import gzip
import lzma
import tarfile

import pytest

from dali_ops.sources.archives.web_dataset import WebDataset
from tests.support.data.archives import (
    BLOCK,
    COUNT,
    LAYOUTS,
    change,
    check,
    cut,
    encoded,
    header_of,
    members_of,
    sample,
    write_shard,
    write_tar,
)


def test_cut_within_the_bytes_of_an_image(shard):
    cut(shard, header_of(shard, "003.jpg")[1] + 100)
    check(
        WebDataset(shard),
        range(3),
        f"a.tar/003.jpg: is cut: of its {len(encoded(3))} bytes 100 are there",
        "a.tar: no zeros close it after 003.jpg: it was cut, and more members may be missing",
    )


def test_cut_within_a_label(tmp_path):
    path = write_tar(tmp_path / "a.tar", [*members_of([sample(0)]), ("1.jpg", encoded(1)), ("1.cls", b"12")])
    cut(path, header_of(path, "1.cls")[1] + 1)
    check(
        WebDataset(path), [0], "a.tar/1.cls: is cut: of its 2 bytes 1 are there", "a.tar: no zeros close it after 1.cls"
    )


def test_cut_within_a_member_that_nobody_needs(tmp_path):
    path = write_tar(tmp_path / "a.tar", [*members_of([sample(0)]), ("000.json", b"{}" * 400)])
    cut(path, header_of(path, "000.json")[1] + 700)
    check(WebDataset(path), [0], "a.tar: no zeros close it after 000.json")


def test_cut_within_a_header(shard):
    at = header_of(shard, "003.jpg")[0]
    cut(shard, at + 300)
    check(
        WebDataset(shard),
        range(3),
        f"a.tar: bytes {at} to {at + 300}, after 002.cls, belong to no member: a header is damaged",
    )


def test_cut_between_two_samples(shard):
    """Nothing but the missing end tells of it."""
    cut(shard, header_of(shard, "003.jpg")[0])
    check(WebDataset(shard), range(3), "a.tar: no zeros close it after 002.cls")


@pytest.mark.parametrize("left", [0, 1, 512 - 8])
def test_cut_behind_the_bytes_of_the_last_member(tmp_path, left):
    """They are there; what fills up their block is not, or not all."""
    path = write_tar(tmp_path / "a.tar", [("0.cls", b"0"), ("0.jpg", encoded(0))])
    end = header_of(path, "0.jpg")[1] + len(encoded(0))
    cut(path, min(end + left, (end + BLOCK - 1) // BLOCK * BLOCK))
    check(WebDataset(path), [0], "a.tar: no zeros close it after 0.jpg")


def test_one_block_of_zeros_is_an_end(shard):
    cut(shard, header_of(shard, "004.cls")[1] + 2 * BLOCK)
    check(WebDataset(shard), range(COUNT))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_damaged_header_of_an_image(tmp_path, layout):
    """Python's tarfile would end there without a word, or pass over it."""
    path = write_shard(tmp_path / "a.tar", map(sample, range(COUNT)), layout=LAYOUTS[layout])
    at, after = header_of(path, "002.jpg")[0], header_of(path, "002.cls")[0]
    change(path, at + 20, b"x")
    check(
        WebDataset(path),
        [0, 1, 3, 4],
        f"a.tar: bytes {at} to {after}, after 001.cls, belong to no member: a header is damaged",
        "a.tar/002: no image (jpg, jpeg, png, bmp, tif, tiff, pnm, ppm, pgm, pbm, jp2, webp), only cls",
    )


@pytest.mark.parametrize(("member", "after", "others"), [
    ("000.jpg", "its beginning", [1, 2, 3, 4]),
    ("004.cls", "004.jpg", [0, 1, 2, 3]),
    ("002.cls", "002.jpg", [0, 1, 3, 4]),
])  # fmt: skip
def test_a_damaged_header_elsewhere(shard, member, after, others):
    change(shard, header_of(shard, member)[0], b"?")
    check(WebDataset(shard), others, f"after {after}, belong to no member", f"a.tar/{member[:3]}: no ")


@pytest.mark.parametrize("layout", ["pax", "gnu"])
@pytest.mark.parametrize("damaged", [0, 2])
def test_a_damaged_header_of_a_long_name(tmp_path, layout, damaged):
    """Such a member has a header of its name, the name, and its own header: here the first or the last is damaged."""
    samples = [sample(k, key=f"{k}{'long' * 30}") for k in range(COUNT)]
    path = write_shard(tmp_path / "a.tar", samples, layout=LAYOUTS[layout])
    at, content = header_of(path, samples[2][0] + ".jpg")
    assert content - at == 3 * BLOCK
    change(path, at + damaged * BLOCK + 130, b"x")
    source = WebDataset(path)
    assert f"a.tar: bytes {at} to " in source.corrupt[0]
    check(source, [0, 1, 3, 4], "belong to no member", f"a.tar/{samples[2][0]}: no image")


def test_several_damaged_headers(shard):
    for at in [header_of(shard, member)[0] for member in ("000.cls", "002.jpg", "002.cls", "004.jpg")]:
        change(shard, at + 3, b"??")
    check(WebDataset(shard), [1, 3], *["a.tar: bytes "] * 3, "a.tar/000: no label", "a.tar/004: no image")


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [-4096, 1 << 62, 1 << 80])
def test_a_size_that_makes_no_sense(shard, size, kind):
    """The checksum of the header is right, so the header is believed; nothing goes backwards or on for ever."""
    header = tarfile.TarInfo("002.jpg")
    header.size, header.type = size, kind
    change(shard, header_of(shard, "002.jpg")[0], header.tobuf(tarfile.GNU_FORMAT))
    source = WebDataset(shard)
    if size < 0 or kind == tarfile.GNUTYPE_LONGNAME:
        check(source, [0, 1, 3, 4], "a.tar: bytes ", "a.tar/002: no image")
    else:
        check(source, [0, 1], f"a.tar/002.jpg: is cut: of its {size} bytes ", "a.tar: no zeros close it after 002.jpg")


def test_tars_that_were_joined(tmp_path, shard):
    other = write_shard(tmp_path / "b.tar", map(sample, range(COUNT, 8)))
    shard.write_bytes(shard.read_bytes() + other.read_bytes())
    check(WebDataset(shard), range(8))


def test_something_behind_the_end(shard):
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes() + b"more")
    check(WebDataset(shard), range(COUNT), f"to {size + 4}, after 004.cls, belong to no member")


@pytest.mark.parametrize(("label", "told"), [
    (b"cat", "b'cat'"),
    (b"1.0", "b'1.0'"),
    (b"1_0", "b'1_0'"),
    (b"1 2", "b'1 2'"),
    ("٣".encode(), r"b'\xd9\xa3'"),
    (b"9" * 19, "b'9999999999999999999'"),
    (b" " * 70 + b"1", "b'                    '"),
    (b" " * 60 + b"123456", "b'                    '"),
    (b"\n", r"b'\n'"),
])  # fmt: skip
def test_a_label_that_is_no_class_index(tmp_path, label, told):
    members = [("0.jpg", encoded(0)), ("0.cls", label), ("1.jpg", encoded(1)), ("1.cls", b" 1\n")]
    check(
        WebDataset(write_tar(tmp_path / "a.tar", members)),
        [1],
        f"a.tar/0.cls: expected a class index in digits, got {told}",
    )


@pytest.mark.parametrize("label", [-1, 1 << 20, 10**18 - 1])
def test_a_class_index_out_of_reason(tmp_path, label):
    check(
        WebDataset(write_shard(tmp_path / "a.tar", [sample(0, label=label), sample(1)])),
        [1],
        f"a.tar/000.jpg: label {label}, but ",
    )


def link(name, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "000.jpg"
    return member


@pytest.mark.parametrize(("members", "told"), [
    ([("k.jpg", b""), ("k.cls", b"1")], "a.tar/k.jpg: has 0 bytes"),
    ([("k.jpg", encoded(1)), ("k.cls", b"")], "a.tar/k.cls: has 0 bytes"),
    ([("k.txt", b"a"), ("k.cls", b"1")], "a.tar/k: no image"),
    ([("k.jpg", encoded(1)), ("k.json", b"{}")], "a.tar/k: no label (cls), only jpg, json"),
    ([("d/k.jpg", encoded(1)), ("d/k.JPG", encoded(1)), ("d/k.cls", b"1")],
     "a.tar/d/k.JPG: the sample has a member of that"),
    ([link("k.jpg", tarfile.SYMTYPE), ("k.cls", b"1")], "a.tar/k.jpg: is a link"),
    ([link("k.jpg", tarfile.LNKTYPE), ("k.cls", b"1")], "a.tar/k.jpg: is a link"),
    ([link("k.jpg", tarfile.GNUTYPE_SPARSE), ("k.cls", b"1")], "a.tar/k.jpg: is a link, sparse"),
    ([("000.jpg", encoded(1)), ("000.cls", b"1")], "a.tar/000.jpg: a member of that name came before"),
])  # fmt: skip
def test_a_sample_that_cannot_be_used(tmp_path, members, told):
    around = list(members_of([sample(0), sample(1)]))
    check(WebDataset(write_tar(tmp_path / "a.tar", [*around, *members, *members_of([sample(2)])])), range(3), told)


def test_files_that_are_no_tars_among_others(tmp_path, shard):
    (tmp_path / "b.tar").touch()
    (tmp_path / "c.tar").write_bytes(encoded(3) * 3)
    (tmp_path / "d.tar").write_bytes(b"short")
    (tmp_path / "e.tar").write_bytes(bytes(20 * BLOCK))
    write_shard(tmp_path / "f.tar", map(sample, range(COUNT, 7)))
    source = WebDataset(tmp_path / "{a,b,c,d,e,f}.tar")
    assert source.shard.tolist() == [0] * COUNT + [5] * 2
    check(
        source,
        range(7),
        "b.tar is an empty file",
        f"c.tar: bytes 0 to {3 * len(encoded(3))}, after its beginning, belong to no member",
        "d.tar: bytes 0 to 5, after its beginning",
        "e.tar: it has nothing but zeros",
    )


def test_an_archive_without_any_image_is_refused(tmp_path):
    (tmp_path / "a.tar").touch()
    with pytest.raises(ValueError, match=r"no usable image in .*/a\.tar: a\.tar is an empty file"):
        WebDataset(tmp_path / "a.tar")


@pytest.mark.parametrize(("kind", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress), ("xz", lzma.compress)])
def test_a_compressed_tar_is_refused(tmp_path, shard, kind, pack):
    (tmp_path / "b.tar").write_bytes(pack(shard.read_bytes()))
    with pytest.raises(ValueError, match=rf"/b\.tar is compressed \({kind}\)"):
        WebDataset(tmp_path / "{a,b}.tar")


def test_a_tar_whose_first_member_is_called_like_bzip2_begins(tmp_path):
    source = WebDataset(write_shard(tmp_path / "a.tar", [sample(0, key="BZh")]))
    assert source.names == ["a.tar/BZh.jpg"]
