"""What kind of file begins so: where a user gives a tar, or something compressed, instead of what is expected."""

from __future__ import annotations

COMPRESSED = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ",
    "zstd": b"\x28\xb5\x2f\xfd",
    "zlib": b"\x78\x9c",
    "zip": b"PK\x03\x04",
}


def kind_of(start: bytes) -> str:
    """What a file is that begins so: a tar or a kind of compression; empty if it is neither."""
    if start[257:262] == b"ustar":
        return "tar"
    return next((kind for kind, magic in COMPRESSED.items() if start.startswith(magic)), "")
