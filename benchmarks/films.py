"""The real films that benchmarks run on, and a raw folder of them, repeated until there are as many as asked for."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PEOPLE_PER_REPEAT = 10_000  # above every number of the set, so that no two repeats share a patient
START = b"\xff\xd8"
COMMENT = b"\xff\xfe"
NUMBERED = re.compile(
    r"^(?P<series>person|(?:NORMAL\d*-)?IM-|(?:BACTERIA|VIRUS|NORMAL)-)(?P<number>\d+)(?P<rest>\D.*)$"
)


def real_films() -> Path:
    """Return the folder of real films: the one that CXR_REAL_FILMS names, else the one beside the checkout."""
    return Path(os.environ.get("CXR_REAL_FILMS", REPOSITORY.parent / "shared" / "data"))


def training_films() -> list[Path]:
    """Return the full-size training films.

    Raises:
        FileNotFoundError: where there are none.
    """
    films = real_films()
    found = sorted((films / "kermany-raw" / "train").rglob("*.jpeg"))
    if not found:
        raise FileNotFoundError(
            f"{films}: holds no kermany-raw/train/**/*.jpeg; point CXR_REAL_FILMS at a folder that does, or draw "
            "phantoms: cxr-pipeline phantom --root FOLDER --out kermany-raw; CXR_REAL_FILMS=FOLDER make bench"
        )
    return found


def with_comment(jpeg: bytes, text: str) -> bytes:
    """Return a JPEG with a comment segment after its start: other bytes, the same pixels.

    Raises:
        ValueError: where the bytes are no JPEG.
    """
    if not jpeg.startswith(START):
        raise ValueError(f"found bytes starting {jpeg[:2].hex(' ')}; expected a JPEG, which starts ff d8")
    comment = text.encode()
    return START + COMMENT + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def renamed(name: str, repeat: int) -> str:
    """Return a film's name in a repeat: Kermany's form, so that labels are read, and another patient.

    Raises:
        ValueError: where the name has not Kermany's form.
    """
    found = NUMBERED.match(name)
    if found is None:
        raise ValueError(f"{name}: the name is none of Kermany's forms")
    number = f"{int(found['number']) + repeat * PEOPLE_PER_REPEAT:0{len(found['number'])}d}"
    return f"{found['series']}{number}{found['rest']}"


def repeats(sources: Sequence[Path], films: int) -> Iterator[tuple[Path, int]]:
    """Yield which film to write in which repeat; a set smaller than the sources is a mixture of them."""
    mixed = random.Random(0).sample(sources, len(sources))
    for index in range(films):
        repeat, place = divmod(index, len(mixed))
        yield mixed[place], repeat


def build(work: Path, films: int) -> Path:
    """Return a raw folder of as many training films as asked for; one that is there already is used again."""
    sources = training_films()
    digest = hashlib.sha256("".join(f"{path.name} {path.stat().st_size}\n" for path in sources).encode()).hexdigest()
    raw = work / f"films-{films}-{digest[:8]}"
    if raw.exists():
        return raw
    aside = raw.with_name(f"{raw.name}.unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    for source, repeat in repeats(sources, films):
        film = aside / "train" / source.parent.name / renamed(source.name, repeat)
        film.parent.mkdir(parents=True, exist_ok=True)
        film.write_bytes(with_comment(source.read_bytes(), f"repeat {repeat}"))
    aside.rename(raw)
    return raw
