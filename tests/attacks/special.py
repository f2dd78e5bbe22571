"""Things in a raw folder that are no plain image files, or that are so in an odd way."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, suppress
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = (
    "two\nlines.png",
    "quo\"te's.png",
    "<img src=x onerror=alert(1)>.png",
    "tab\tstop.png",
    "\x1b[2Jescape.png",
    "-rf.png",
    "=cmd.png",
    "a;b,c&d.png",
    "\u202eright-to-left.png",
    "n" * 240 + ".png",
)
DEEP = 1200  # folders, beyond Python's stack; the first hundred with names of 99 bytes: beyond a system call


def film(seed: int, *, height: int = 60, width: int = 80) -> Image.Image:
    """Return a film unlike those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format_: str = "PNG") -> bytes:
    """Return an image as a file's bytes."""
    file = io.BytesIO()
    image.save(file, format_)
    return file.getvalue()


def png_of(width: int, height: int, *, bits: int = 8, kind: int = 0) -> bytes:
    """Return a PNG of zeros, made without ever holding its pixels: 40,000 x 40,000 in 1.6 MB.

    Args:
        width: pixels across.
        height: pixels down.
        bits: of a channel.
        kind: PNG's number of the pixel layout: 0 grey, 2 colour, 6 colour and transparency.
    """
    packer = zlib.compressobj(9)
    row = bytes(1 + width * {0: 1, 2: 3, 6: 4}[kind] * bits // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        for body in (b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0), b"IDAT" + data, b"IEND")
    )


def _sparse(folder: Path) -> None:
    with (folder / "sparse-100-gb.jpeg").open("wb") as file:
        file.write(encoded(film(900), "JPEG"))
        file.truncate(100_000_000_000)


def _bombs(folder: Path) -> None:
    (folder / "bomb-12000.png").write_bytes(png_of(12_000, 12_000))
    (folder / "bomb-within-bounds.png").write_bytes(png_of(10_000, 10_000))
    (folder / "bomb-deep.png").write_bytes(png_of(10_000, 10_000, bits=16))
    (folder / "bomb-colour.png").write_bytes(png_of(10_000, 10_000, kind=6))
    (folder / "strip.png").write_bytes(png_of(8, 40_000))
    (folder / "promise.pgm").write_bytes(b"P5\n200000 200000\n255\n")
    vast = encoded(Image.new("L", (64, 64)), "BMP")
    (folder / "promise.bmp").write_bytes(vast[:18] + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + vast[26:])
    file = io.BytesIO()
    Image.new("L", (3000, 3000)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    (folder / "scans.jpeg").write_bytes(whole[:-2] + 20_000 * scan + whole[-2:])
    plain = encoded(film(901), "JPEG")
    (folder / "segments.jpeg").write_bytes(plain[:2] + 1_000_000 * b"\xff\xec\0\2" + plain[2:])
    chunk = b"\0\0\0\0abCd" + zlib.crc32(b"abCd").to_bytes(4)
    plain = encoded(film(902))
    (folder / "chunks.png").write_bytes(plain[:33] + 500_000 * chunk + plain[33:])


def _no_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpeg")
    with chdir(folder), socket.socket(socket.AF_UNIX) as listener:  # a socket's path has 108 bytes at most
        listener.bind("socket.jpeg")
    with suppress(OSError):  # for root alone
        os.mknod(folder / "device.jpeg", 0o600 | 0o020000, os.makedev(1, 5))  # as /dev/zero


def _links(folder: Path) -> None:
    outside = folder.parents[3] / "outside"
    outside.mkdir(parents=True)
    (outside / "linked.png").write_bytes(encoded(film(903)))
    (outside / "secret.txt").write_bytes(b"no film")
    (folder / "linked-film.png").symlink_to(outside / "linked.png")
    (folder / "linked-text.jpeg").symlink_to(outside / "secret.txt")
    (folder / "nowhere.jpeg").symlink_to(outside / "nothing")
    (folder / "loop.jpeg").symlink_to(folder / "loop.jpeg")
    (folder / "zero.jpeg").symlink_to("/dev/zero")
    (folder / "everything").symlink_to("/")
    (folder / "up").symlink_to(folder.parents[2])


def _names(folder: Path) -> None:
    for seed, name in enumerate(NAMES):
        (folder / name).write_bytes(encoded(film(910 + seed)))
    with suppress(OSError):  # some file systems refuse names that are no UTF-8
        (folder / os.fsdecode(b"caf\xe9.jpeg")).write_bytes(encoded(film(930), "JPEG"))
    (folder / "wrong.jpeg").write_bytes(encoded(film(931), "TIFF"))
    (folder / "empty.jpeg").write_bytes(b"")
    (folder / "text.jpeg").write_bytes(b"<html>404</html>")


def _deep(folder: Path) -> None:
    """Nest folders until no call takes the path, and put a film into the innermost one."""
    inner = os.open(folder, os.O_RDONLY)
    for depth in range(DEEP):
        name = "d" * 99 if depth < 100 else "d"
        os.mkdir(name, dir_fd=inner)
        outer, inner = inner, os.open(name, os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    with os.fdopen(os.open("deep.png", os.O_WRONLY | os.O_CREAT, dir_fd=inner), "wb") as file:
        file.write(encoded(film(940)))
    os.close(inner)


def _locked(folder: Path) -> None:
    """Put there what only root reads; as root, it is a film as any other."""
    (folder / "locked.jpeg").write_bytes(encoded(film(950), "JPEG"))
    (folder / "locked.jpeg").chmod(0)


KINDS: Mapping[str, Callable[[Path], None]] = {
    "sparse": _sparse,
    "bombs": _bombs,
    "no-files": _no_files,
    "links": _links,
    "names": _names,
    "deep": _deep,
    "locked": _locked,
}


def plant(raw: Path) -> None:
    """Put all of them under the raw folder, and a few plain films beside them."""
    for name, kind in KINDS.items():
        folder = raw / "well" / name
        folder.mkdir(parents=True)
        kind(folder)
    for seed, path in enumerate(plain(40)):
        (raw / path).parent.mkdir(parents=True, exist_ok=True)
        (raw / path).write_bytes(encoded(film(seed), "JPEG"))


def plain(number: int) -> Iterator[str]:
    """Yield the paths of plain films of two classes."""
    for index in range(number):
        yield f"{'ill' if index % 2 else 'well'}/plain/{index:03d}.jpeg"
