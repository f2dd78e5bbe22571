"""Change single bytes of a data set, at random, and see whether verify finds and mends every one.

python -m tests.attacks.flips                 200 changes of a small phantom set
python -m tests.attacks.flips --root DIR      of a copy of a data set
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

from stages import audit, augment, normalize, paths, phantom, split, verify
from stages.augment_params import AugmentParams
from stages.contract import Machine
from tests.conftest import in_order, silent

FOLDERS = (Path(paths.AUDIT).parent, Path(paths.SPLIT).parent, paths.NORMALIZED, paths.AUGMENTED)


@dataclass(frozen=True, slots=True)
class Flip:
    """One byte of one file, and what it becomes."""

    path: Path
    at: int
    value: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a change."""

    flip: Flip
    found: bool
    named: bool
    mended: bool
    untouched: bool


def files_of(root: Path) -> list[Path]:
    """Return every file of the stages' folders."""
    return sorted(path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file())


def flips(root: Path, number: int, *, seed: int, by_file: bool = False) -> Iterator[Flip]:
    """Yield changes at random over all bytes, or over the files first, so that small ones get their share."""
    words = random.Random(seed)
    files = files_of(root)
    sizes = [path.stat().st_size for path in files]
    for _ in range(number):
        path = words.choice(files) if by_file else words.choices(files, weights=sizes)[0]
        data = path.read_bytes()
        at = words.randrange(len(data))
        yield Flip(path, at, data[at] ^ words.randrange(1, 256))


def attack(root: Path, flip: Flip, machine: Machine) -> Outcome:
    """Make a change, look whether verify finds it and --repair mends it, and leave the file as it was."""
    before = {path: path.stat() for path in files_of(root)}
    data = flip.path.read_bytes()
    flip.path.write_bytes(data[: flip.at] + bytes([flip.value]) + data[flip.at + 1 :])
    looked = verify.run(verify.VerifyParams(), root, machine)
    name = flip.path.relative_to(root).as_posix()
    mended = verify.run(verify.VerifyParams(repair=True), root, machine)
    after = {path: path.stat() for path in files_of(root)}
    stamps = [(path, stat.st_ino, stat.st_mtime_ns) for path, stat in before.items() if path != flip.path]
    outcome = Outcome(
        flip,
        found=looked.failed,
        named=any(name in line for line in looked.lines),
        mended=not mended.failed and flip.path.read_bytes() == data,
        untouched=stamps == [(path, after[path].st_ino, after[path].st_mtime_ns) for path, *_ in stamps],
    )
    if not outcome.mended:
        flip.path.write_bytes(data)
    return outcome


def small_set(root: Path, machine: Machine) -> Path:
    """Make a set of a few phantoms in several shards, and return its root."""
    phantom.run(phantom.PhantomParams(films=40, longest_side_px=96), root, machine)
    audit.run(audit.AuditParams(), root, machine)
    split.run(split.SplitParams(), root, machine)
    normalize.run(normalize.NormalizeParams(height=32, width=40), root, machine)
    augment.run(AugmentParams(copies=99), root, machine)
    return root


def main(arguments: Sequence[str]) -> int:
    """Attack a set and print how many changes were found and mended; return 1 where one was not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--root", type=Path, help="a data set; a copy of it is attacked")
    parser.add_argument("--number", type=int, default=200, help="changes of each kind")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    machine = Machine(fan_out=in_order, track=silent, device="cpu")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        if asked.root is None:
            small_set(root, machine)
        else:
            copytree(asked.root, root)
        files = files_of(root)
        print(f"{len(files)} files, {sum(path.stat().st_size for path in files):,} bytes")
        for by_file, words in ((False, "over all bytes of all files"), (True, "over files first, then their bytes")):
            started = time.perf_counter()
            outcomes = [
                attack(root, flip, machine) for flip in flips(root, asked.number, seed=asked.seed, by_file=by_file)
            ]
            wrong += _report(outcomes, words, root, time.perf_counter() - started)
    return int(wrong > 0)


def _report(outcomes: Sequence[Outcome], words: str, root: Path, elapsed_s: float) -> int:
    number = len(outcomes)
    where = Counter(outcome.flip.path.relative_to(root).as_posix().split("/")[1] for outcome in outcomes)
    shown = ", ".join(f"{count} in {folder}" for folder, count in sorted(where.items()))
    print(f"{number} single bytes changed at random {words} ({shown}), {elapsed_s:.0f} s:")
    for name in ("found", "named", "mended", "untouched"):
        print(f"  {name:<9} {sum(getattr(outcome, name) for outcome in outcomes)} of {number}")
    failures = [one for one in outcomes if not (one.found and one.named and one.mended and one.untouched)]
    for one in failures:
        print(f"  FAILED: byte {one.flip.at} of {one.flip.path.relative_to(root)} to {one.flip.value}: {one}")
    return len(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
