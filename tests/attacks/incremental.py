"""What ten films more, ten others or ten fewer rewrite: `make attack-incremental`.

Some thousand small films are built. Then ten are added, changed or removed, and the stages run again over the
same root. Counted are the shards that were written anew, by inode and time, and the films whose split another film
moved; and every file must have the bytes that a build from scratch gives it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from manifests import store
from manifests.rows import SPLIT, SplitRow
from manifests.shards import SHARDS
from stages import audit, augment, normalize, paths, split
from stages.augment_params import AugmentParams
from stages.contract import Machine
from tests.attacks.special import encoded, film
from tests.conftest import in_order, silent

CHANGED = 10
NORMALIZE = normalize.NormalizeParams(height=32, width=40)
AUGMENT = AugmentParams(copies=20, encoding="pgm", interpolation="nearest")


@dataclass(frozen=True)
class Rewritten:
    """What a change cost.

    Attributes:
        shards: by stage: how many there are, how many of them were written anew.
        needless: by stage: shards that were written anew though none of their films shared a shard, before or after,
            with a film that came, went or moved.
        moved: films that were there before and after, and whose split is another.
        differ: files under data/ that a build from scratch gives other bytes, or does not give.
    """

    shards: Mapping[str, tuple[int, int]]
    needless: Mapping[str, list[str]]
    moved: int
    differ: list[str]


def path_of(number: int) -> str:
    """Return where a film lies; two of three are ill."""
    return f"{'ill' if number % 3 else 'well'}/{number:05d}.png"


def draw(root: Path, numbers: Iterable[int], *, version: int = 0) -> None:
    """Write some films; another version shows something else under the same name."""
    for number in numbers:
        path = root / paths.RAW / path_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(film(number + 1_000_000 * version, height=36, width=44)))


def build(root: Path, machine: Machine) -> None:
    """Run the stages that make the data set."""
    audit.run(audit.AuditParams(labels="folder"), root, machine)
    split.run(split.SplitParams(), root, machine)
    normalize.run(NORMALIZE, root, machine)
    augment.run(AUGMENT, root, machine)


def add(root: Path, films: int) -> None:
    """Add ten films."""
    draw(root, range(films, films + CHANGED))


def change(root: Path, films: int) -> None:
    """Let ten films show something else."""
    draw(root, range(0, films, films // CHANGED), version=1)


def remove(root: Path, films: int) -> None:
    """Remove ten films."""
    for number in range(0, films, films // CHANGED):
        (root / paths.RAW / path_of(number)).unlink()


CHANGES: Mapping[str, Callable[[Path, int], None]] = {"add": add, "change": change, "remove": remove}


def measure(root: Path, scratch: Path, films: int, alter: Callable[[Path, int], None], machine: Machine) -> Rewritten:
    """Alter a built root, build it again, and compare: with what it was, and with a build from scratch."""
    before, stamps = _splits(root), _stamps(root)
    alter(root, films)
    build(root, machine)
    after, now = _splits(root), _stamps(root)
    shutil.copytree(root / paths.RAW, scratch / paths.RAW)
    build(scratch, machine)
    moved = {film for film, row in before.items() if film in after and after[film].split != row.split}
    touched = moved | (before.keys() ^ after.keys())
    written = {stage: [name for name, stamp in now[stage].items() if stamps[stage].get(name) != stamp] for stage in now}
    return Rewritten(
        shards={stage: (len(now[stage]), len(names)) for stage, names in written.items()},
        needless={stage: _needless(names, touched, [*stamps[stage], *now[stage]]) for stage, names in written.items()},
        moved=len(moved),
        differ=_differences(root / "data", scratch / "data"),
    )


def _needless(written: Iterable[str], touched: Iterable[str], shards: Iterable[str]) -> list[str]:
    """Return the shards that no touched film shares a shard with, by the hash prefixes that name them."""
    bits = [f"{int(film_id, 16):0256b}" for film_id in touched]
    homes = {prefix for prefix in map(_prefix, shards) if any(film_bits.startswith(prefix) for film_bits in bits)}
    return [name for name in written if not any(_prefix(name).startswith(home) for home in homes)]


def _prefix(shard: str) -> str:
    return shard.partition("-")[0].replace("all", "")


def _splits(root: Path) -> dict[str, SplitRow]:
    return {row.film_id: row for row in store.read(SPLIT, root / paths.SPLIT)}


def _stamps(root: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Return inode and time of each shard, by stage and name."""
    found = {}
    for stage in (paths.NORMALIZED, paths.AUGMENTED):
        files = {path.name: path.stat() for path in (root / stage / SHARDS).iterdir()}
        found[stage] = {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in files.items()}
    return found


def _differences(one: Path, other: Path) -> list[str]:
    files = [
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    ]
    return sorted(name for name in files[0].keys() | files[1].keys() if files[0].get(name) != files[1].get(name))


def report(name: str, found: Rewritten) -> str:
    """Return what a person should see."""
    shards = "; ".join(
        f"{stage.rpartition('/')[2]} {written} of {total} shards written, {len(found.needless[stage])} needlessly"
        for stage, (total, written) in found.shards.items()
    )
    same = "as from scratch" if not found.differ else f"DIFFERS from scratch in {found.differ[:3]}"
    return f"{name} {CHANGED}: {shards}; {found.moved} other films moved to another split; {same}"


def main() -> int:
    """Build, alter, build again, print; 1 where anything differs from a build from scratch."""
    parser = argparse.ArgumentParser(description="Count what ten changed films rewrite.")
    parser.add_argument("--films", type=int, default=2400)
    options = parser.parse_args()
    machine = Machine(fan_out=in_order, track=silent)
    good = True
    for name, alter in CHANGES.items():
        with TemporaryDirectory() as folder:
            root = Path(folder) / "root"
            draw(root, range(options.films))
            build(root, machine)
            found = measure(root, Path(folder) / "scratch", options.films, alter, machine)
            print(report(name, found))
            good = good and not found.differ and not any(found.needless.values())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
