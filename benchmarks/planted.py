"""Films made from real ones, as careless hands make them: what the benchmark of duplicates plants and must find."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import SupportsInt

import numpy as np
from PIL import Image

Words = np.random.Generator
Change = Callable[[Image.Image, Words], bytes]
NUMBER = re.compile(r"(person|IM-)(\d+)")


@dataclass(frozen=True, slots=True)
class Planted:
    """A film made from another.

    Attributes:
        path: its own, relative to the set.
        original: of the film that it was made from.
        kind: what was done.
    """

    path: str
    original: str
    kind: str


def jpeg(film: Image.Image, quality: SupportsInt) -> bytes:
    """Return a film as a JPEG file."""
    file = io.BytesIO()
    film.save(file, "JPEG", quality=int(quality))
    return file.getvalue()


def resized(film: Image.Image, scale: float) -> Image.Image:
    """Return a film at another size."""
    return film.resize((round(film.width * scale), round(film.height * scale)), Image.Resampling.LANCZOS)


def cropped(film: Image.Image, words: Words, sides: int) -> Image.Image:
    """Return a film less 2 to 5 % at some of its sides."""
    cut = np.zeros(4)
    cut[words.permutation(4)[:sides]] = words.uniform(0.02, 0.05, sides)
    left, top, right, bottom = (cut * [film.width, film.height, film.width, film.height]).round().astype(int)
    return film.crop((int(left), int(top), int(film.width - right), int(film.height - bottom)))


def flipped(film: Image.Image) -> Image.Image:
    """Return a film mirrored left to right."""
    return film.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def regraded(film: Image.Image, grade: Callable[[float], float]) -> Image.Image:
    """Return a film with other grey levels."""
    return film.point([round(min(255.0, max(0.0, grade(level)))) for level in range(256)])


def brightness(film: Image.Image, words: Words) -> Image.Image:
    """Return a film 15 to 50 grey levels darker or brighter."""
    offset = words.uniform(15, 50) * words.choice([-1, 1])
    return regraded(film, lambda level: level + offset)


def contrast(film: Image.Image, words: Words) -> Image.Image:
    """Return a film with 0.6 to 0.85 or 1.15 to 1.4 times the contrast."""
    factor = words.choice([words.uniform(0.6, 0.85), words.uniform(1.15, 1.4)])
    return regraded(film, lambda level: 128 + factor * (level - 128))


def gamma(film: Image.Image, words: Words) -> Image.Image:
    """Return a film with a gamma of 0.6 to 0.85 or 1.2 to 1.6."""
    power = words.choice([words.uniform(0.6, 0.85), words.uniform(1.2, 1.6)])
    return regraded(film, lambda level: 255 * (level / 255) ** power)


def png(film: Image.Image, _words: Words) -> bytes:
    """Return a film as a PNG file: the same pixels."""
    file = io.BytesIO()
    film.save(file, "PNG")
    return file.getvalue()


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "recompressed": lambda film, words: jpeg(film, words.integers(20, 70)),
        "resized": lambda film, words: jpeg(
            resized(film, words.choice([words.uniform(0.3, 0.8), words.uniform(1.2, 1.6)])), 92
        ),
        "resized, recompressed": lambda film, words: jpeg(
            resized(film, words.uniform(0.25, 0.7)), words.integers(30, 75)
        ),
        "squeezed to 200 x 200": lambda film, _words: jpeg(film.resize((200, 200)), 85),
        "cropped at one side": lambda film, words: jpeg(cropped(film, words, 1), 90),
        "cropped at 2 to 4 sides": lambda film, words: jpeg(cropped(film, words, int(words.integers(2, 5))), 90),
        "flipped": lambda film, _words: jpeg(flipped(film), 90),
        "brightness": lambda film, words: jpeg(brightness(film, words), 90),
        "contrast": lambda film, words: jpeg(contrast(film, words), 90),
        "gamma": lambda film, words: jpeg(gamma(film, words), 90),
        "cropped, resized, recompressed": lambda film, words: jpeg(
            resized(cropped(film, words, int(words.integers(2, 5))), words.uniform(0.3, 0.7)), words.integers(40, 75)
        ),
        "flipped, cropped": lambda film, words: jpeg(flipped(cropped(film, words, int(words.integers(2, 5)))), 85),
        "flipped, resized, gamma": lambda film, words: jpeg(
            gamma(resized(flipped(film), words.uniform(0.3, 0.7)), words), 80
        ),
        "cropped, gamma": lambda film, words: jpeg(gamma(cropped(film, words, int(words.integers(1, 5))), words), 80),
        "same pixels as PNG": png,
    }
)
SAME_BYTES, OTHER_METADATA = "same bytes", "same pixels, other metadata"
KINDS = (*CHANGES, OTHER_METADATA, SAME_BYTES)
TOLD = {  # what the audit should say of each kind, where it is not the kind's own first word
    "resized, recompressed": "resized",
    "squeezed to 200 x 200": "resized",
    "cropped at one side": "cropped",
    "cropped at 2 to 4 sides": "cropped",
    "brightness": "grey_levels",
    "contrast": "grey_levels",
    "gamma": "grey_levels",
    "cropped, resized, recompressed": "cropped",
    "flipped, cropped": "flipped",
    "flipped, resized, gamma": "flipped",
    "cropped, gamma": "cropped",
    "same pixels as PNG": "same_pixels",
    OTHER_METADATA: "same_pixels",
    SAME_BYTES: "same_bytes",
}


def plant(films: Path, out: Path, *, each: int, seed: int = 0) -> list[Planted]:
    """Link the films of a folder into another, and plant so many of each kind among them, as other patients'.

    No film is changed twice while there are others; all is a function of the films' names
    and the seed.
    """
    paths = sorted(path.relative_to(films).as_posix() for path in films.rglob("*.jpeg"))
    for path in paths:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).symlink_to(films / path)
    order = np.random.Generator(np.random.Philox(key=[7, seed])).permutation(len(paths))
    turns = [(kind, number) for kind in KINDS for number in range(each)]
    return [
        _plant(films, out, paths[order[turn % len(paths)]], kind, turn, seed) for turn, (kind, _) in enumerate(turns)
    ]


def _plant(films: Path, out: Path, original: str, kind: str, turn: int, seed: int) -> Planted:
    data = (films / original).read_bytes()
    words = np.random.Generator(np.random.Philox(key=[turn, seed]))
    if kind == OTHER_METADATA:
        comment = b"anonymised %d" % turn
        data = data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]
    elif kind != SAME_BYTES:
        data = CHANGES[kind](Image.open(io.BytesIO(data)).convert("L"), words)
    renamed = NUMBER.sub(lambda found: f"{found[1]}{90_000 + turn}", original)
    path = str(Path(renamed).with_suffix(".png" if kind == "same pixels as PNG" else ".jpeg"))
    (out / path).write_bytes(data)
    return Planted(path, original, kind)


def told(planted: Planted) -> str:
    """Return what the audit should say of a planted film."""
    return TOLD.get(planted.kind, planted.kind)


def paths_under(folder: Path) -> Sequence[str]:
    """Return the files of a set, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
