"""Flags of picture quality on real films: how many planted faults are found, how many untouched films are flagged.

python benchmarks/quality.py                       every table, some minutes; --planted 10 for a quick look

Each fault is planted in films of a set whose other films stay as they are, encoded again as JPEG at quality 90, and
the set is flagged anew by the audit's own functions. Letters are compared with what a person saw on 160 films
(`letters.csv`, beside this file: seen = letter, part of one, none), and with the middles of all films, where letters
are rare. What is no radiograph are drawn scenes and windows, pictures of test suites (hostile/), and films of an
extremity, where pydicom is there to read them.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks.films import real_films
from benchmarks.printed import markdown
from manifests.rows import AUDITED, Flag
from stages.auditing.quality import flagged
from stages.auditing.rows import Examined, film_row
from stages.films import decode, look, quality
from stages.films.frame import Frame, frame_of
from stages.films.phantom_plan import Fault, keyed
from stages.films.phantom_spoilt import photograph, screenshot, spoilt
from stages.named import Named
from stages.statistics.alignment import SIDE

FILMS = real_films()
SETS = ("kermany-raw", "kermany-224")
FAULTS: tuple[Fault, ...] = (
    *("inverted", "rotated_90", "rotated_180", "rotated_270", "low_contrast", "clipped", "black_border", "burnt_in"),
    "blank",
)
TRIAL_SIZES = (20, 50, 100, 375)
FLAGS: tuple[Flag, ...] = get_args(Flag)
LYING: dict[int, Flag] = {1: "rotated_90", 2: "rotated_180", 3: "rotated_270", 4: "inverted"}  # by change
LABEL = Named("normal", "a patient", None)
SMALLEST_PICTURE = 64  # pixels a side; icons are no pictures that anyone takes for a film
Seen = list[Examined]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planted", type=int, default=50, help="films that each fault is planted in [50]")
    planted = parser.parse_args().planted
    sets = {name: sorted((FILMS / name).rglob("*.jp*g")) for name in SETS}
    seen = {name: [examined(path.read_bytes()) for path in paths] for name, paths in sets.items()}
    print(untouched(seen), end="\n\n")
    print(recall(sets, seen, planted), end="\n\n")
    print(no_radiographs(seen), end="\n\n")
    print(mostly_wrong(seen[SETS[1]]), end="\n\n")
    print(by_size(seen[SETS[1]]), end="\n\n")
    print(letters(sets[SETS[0]]), end="\n\n")
    print(time_per_film(sets[SETS[0]]))


def examined(data: bytes) -> Examined:
    """Return what the audit sees in a file."""
    header, image = decode.decode(data)
    thumbnail, measured = seen_in(image)
    return Examined("ok", None, None, len(data), header, thumbnail, quality=measured)


def seen_in(image: Image.Image) -> tuple[bytes, quality.Quality]:
    """Return a film's thumbnail and what its levels say, as the audit's worker makes them."""
    fine = look.reduced(image, side=look.FINE_SIDE)
    small = look.reduced(fine, side=look.SMALL_SIDE)
    return look.thumbnail(small, side=SIDE), quality.measured(image, small, fine=fine)


def flags_of(seen: Seen) -> list[set[str]]:
    """Return the flags of the films of a set; `blank` for the status."""
    rows = [film_row(f"{number:06d}.jpeg", one, LABEL, Frame(height=256, width=300)) for number, one in enumerate(seen)]
    thumbnails = np.stack([np.frombuffer(one.thumbnail, np.uint8) for one in seen])
    table, _ = flagged(AUDITED.table(rows), thumbnails)
    return [{*map(str, row.flags or ()), row.status} - {"ok"} for row in AUDITED.rows(table)]


def as_jpeg(image: Image.Image) -> bytes:
    """Return a picture as JPEG at quality 90."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


# --- tables ------------------------------------------------------------------------------------------------------


def untouched(seen: dict[str, Seen]) -> str:
    """Return how many films of each set have each flag as they are."""
    counted = {name: Counter(flag for flags in flags_of(films) for flag in flags) for name, films in seen.items()}
    rows = [["flag", *(f"{name} (n = {len(films):,})" for name, films in seen.items())]]
    rows += [[flag, *(share(counted[name][flag], len(films)) for name, films in seen.items())] for flag in FLAGS]
    return markdown(rows)


def recall(sets: dict[str, list[Path]], seen: dict[str, Seen], planted: int) -> str:
    """Return how many of the films with a planted fault get its flag, and how many get another one."""
    rows = [["fault", *(f"{name}: found, with another flag as well" for name in sets)]]
    rows += [[fault, *(_recall(sets[name], seen[name], fault, planted) for name in sets)] for fault in FAULTS]
    return markdown(rows)


def _recall(paths: Sequence[Path], seen: Seen, fault: Fault, planted: int) -> str:
    chosen = keyed("planted", fault).permutation(len(paths))[:planted].tolist()
    changed = list(seen)
    for at in chosen:
        changed[at] = examined(with_fault(paths[at].read_bytes(), fault, key=paths[at].name))
    flags = flags_of(changed)
    if fault == "burnt_in":  # nearly all films have a letter: found is what has more of them than before
        found = [(changed[at].quality.marks or 0) > (seen[at].quality.marks or 0) for at in chosen]
    else:
        found = [fault in flags[at] for at in chosen]
    before = flags_of(seen)
    others = [bool(flags[at] - before[at] - {fault, "burnt_in"}) for at in chosen]
    return f"{share(sum(found), len(chosen))}, {sum(others)}"


def with_fault(data: bytes, fault: Fault, *, key: str) -> bytes:
    """Return a film with a fault, as JPEG."""
    image = np.asarray(decode.decode(data)[1])
    frame = frame_of(image)
    return as_jpeg(Image.fromarray(spoilt(image, fault, frame, keyed("fault", key))))


def no_radiographs(seen: dict[str, Seen]) -> str:
    """Return how many pictures of other things are told from the films of each set, ten at a time among them."""
    kinds: dict[str, Seen] = {
        "drawn scenes in colour": [examined(as_jpeg(one)) for one in drawn(photograph)],
        "drawn windows in colour": [examined(as_jpeg(one)) for one in drawn(screenshot)],
        "drawn scenes in grey": [examined(as_jpeg(one.convert("L"))) for one in drawn(photograph)],
        "drawn windows in grey": [examined(as_jpeg(one.convert("L"))) for one in drawn(screenshot)],
        "pictures of test suites, as they are": list(pictures()),
        "pictures of test suites, in grey": list(map(in_grey, pictures())),
        "films of an extremity": list(extremities()),
    }
    rows = [["what", *(f"among {name}" for name in seen)]]
    for kind, others in kinds.items():
        if others:
            rows.append([kind, *(share(sum(_told(films, others)), len(others)) for films in seen.values())])
    return markdown(rows)


def _told(films: Seen, others: Seen) -> list[bool]:
    told: list[bool] = []
    for start in range(0, len(others), 10):
        some = others[start : start + 10]
        told += [bool(flags & {"unlike", "blank"}) for flags in flags_of([*films[:1000], *some])[-len(some) :]]
    return told


def drawn(scene: Callable[[Frame, np.random.Generator], Any]) -> Iterable[Image.Image]:
    """Yield 50 drawn pictures of different sizes."""
    for number in range(50):
        words = keyed("scene", scene.__name__, number)
        frame = Frame(height=int(words.integers(300, 900)), width=int(words.integers(400, 1200)))
        yield Image.fromarray(scene(frame, words))


def pictures() -> Iterable[Examined]:
    """Yield what is seen in the pictures of test suites that can be read."""
    for path in sorted((FILMS / "hostile").rglob("*")):
        if path.is_file():
            try:
                one = examined(path.read_bytes())
            except decode.DecodeError:
                continue
            if one.header is not None and min(one.header.width, one.header.height) >= SMALLEST_PICTURE:
                yield one


def in_grey(one: Examined) -> Examined:
    """Return a picture whose colours are not known."""
    assert one.header is not None
    return replace(one, header=replace(one.header, colour=None))


def extremities() -> Iterable[Examined]:
    """Yield what is seen in the DICOM films of an extremity; none without pydicom and the codecs they need."""
    try:
        import pydicom  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return
    for path in sorted((FILMS / "other-cxr" / "dicom-not-chest").glob("*.dcm")):
        try:
            levels = pydicom.dcmread(path).pixel_array.astype(np.float64)
        except (RuntimeError, ValueError):
            continue
        bright = (levels.max() - levels) / np.ptp(levels) * 255  # MONOCHROME1: low is bright
        yield examined(as_jpeg(Image.fromarray(bright.astype(np.uint8))))


def by_size(seen: Seen) -> str:
    """Return what small sets make of it: films called turned, inverted or unlike, and turned ones that are found."""
    rows = [["films in the set", "sets", "upright called turned or inverted", "called unlike", "turned found"]]
    for size in TRIAL_SIZES:
        trials, askew, unlike, found, turned = 2000 // size, 0, 0, 0, 0
        for trial in range(trials):
            chosen = keyed("size", size, trial).permutation(len(seen))[:size]
            some = [seen[at] for at in chosen]
            wrong = max(2, size // 10)
            some[:wrong] = [as_changed(one, 1) for one in some[:wrong]]
            flags = flags_of(some)
            found += sum("rotated_90" in one for one in flags[:wrong])
            turned += wrong
            askew += sum(bool(one & {*LYING.values()}) for one in flags[wrong:])
            unlike += sum("unlike" in one for one in flags[wrong:])
        good = trials * size - turned
        rows += [[f"{size:,}", f"{trials}", share(askew, good), share(unlike, good), share(found, turned)]]
    return markdown(rows)


def mostly_wrong(seen: Seen) -> str:
    """Return what becomes of sets of which half or more of the films are turned or inverted."""
    kinds = {"half inverted": (4, 0.5), "nine tenths inverted": (4, 0.9), "half upside down": (2, 0.5),
             "nine tenths turned by 90 degrees": (1, 0.9)}  # fmt: skip
    rows = [["changed", "found, and as what they are", "upright films called something else"]]
    for kind, (change, of) in kinds.items():
        wrong = keyed("mostly", kind).random(len(seen)) < of
        flags = flags_of([as_changed(one, change) if bad else one for one, bad in zip(seen, wrong, strict=True)])
        name = LYING[change]
        found = sum(name in one for one, bad in zip(flags, wrong, strict=True) if bad)
        called = sum(bool(one & {*LYING.values()}) for one, bad in zip(flags, wrong, strict=True) if not bad)
        rows.append([kind, share(found, int(wrong.sum())), share(called, int((~wrong).sum()))])
    return markdown(rows)


def as_changed(one: Examined, change: int) -> Examined:
    """Return what would be seen of a film turned clockwise by quarters, or inverted (4)."""
    square = np.frombuffer(one.thumbnail, np.uint8).reshape(SIDE, SIDE)
    return replace(one, thumbnail=(255 - square if change == 4 else np.rot90(square, -change)).tobytes())


def letters(paths: Sequence[Path]) -> str:
    """Return how the letters that are found compare with what a person saw."""
    with (Path(__file__).parent / "letters.csv").open() as table:
        said = {row["path"]: row["seen"] for row in csv.DictReader(table)}
    found: dict[str, list[bool]] = {"letter": [], "part": [], "none": []}
    middles = []
    for path in paths:
        image = decode.decode(path.read_bytes())[1]
        told = said.get(path.relative_to(FILMS / SETS[0]).as_posix())
        if told is not None:
            found[told].append(quality.marks(np.asarray(look.reduced(image, side=look.FINE_SIDE))) > 0)
        block = max(1, min(image.size) // look.FINE_SIDE)
        middle = image.crop((image.width // 5, image.height // 4, image.width * 4 // 5, image.height))
        middles.append(quality.marks(np.asarray(middle.reduce(block) if block > 1 else middle)) > 0)
    rows = [["what a person saw", "called a letter"]]
    rows += [[told, share(sum(of), len(of))] for told, of in found.items()]
    rows.append(["the middle of every film", share(sum(middles), len(middles))])
    return markdown(rows)


def time_per_film(paths: Sequence[Path]) -> str:
    """Return what looking takes of a worker's time, milliseconds a film, the best of five rounds."""
    data = [path.read_bytes() for path in paths[::4]]
    films = [decode.decode(one)[1] for one in data]
    steps: dict[str, Callable[[int], object]] = {
        "decode": lambda at: decode.decode(data[at]),
        "thumbnail alone": lambda at: look.thumbnail(look.reduced(films[at], side=look.SMALL_SIDE), side=SIDE),
        "thumbnail, levels, border and letters": lambda at: seen_in(films[at]),
    }
    rows = [["step", "ms of processor time a film"]]
    rows += [[name, f"{min(_round(step, len(films)) for _ in range(5)):.2f}"] for name, step in steps.items()]
    return markdown(rows)


def _round(step: Callable[[int], object], films: int) -> float:
    start_s = time.process_time()
    for at in range(films):
        step(at)
    return 1000 * (time.process_time() - start_s) / films


def share(some: int, of: int) -> str:
    """Return a count and its share."""
    return f"{some:,} of {of:,} ({100 * some / of:.2f} %)" if of else "none"


if __name__ == "__main__":
    pa.set_cpu_count(1)
    cv2.setNumThreads(1)  # as in a worker
    main()
