"""Scale by simulation: time and memory of everything after the audit's films, up to millions of rows.

python benchmarks/scale.py                                           20,000, 200,000, 2,000,000 and 8,000,000 rows
python benchmarks/scale.py --rows 20000,200000 --plot docs/scale.svg fewer, and the curves
python benchmarks/scale.py --rows 200000 --only split,train          some pieces, on the sets that they need

Each piece of work runs in a process of its own on rows that are made up (`scale_work.py`); its peak is that of the
parent, its time leaves Python's start out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks.printed import machine, markdown, versions
from benchmarks.processes import RunError, finish, resident_bytes

COPIES = 20
SET = ("audit", "all in train", "normalize", "augment")
NEEDS = {"split": ("audit",), "judge": ("scored",), "compare": ("scored",), "labels": ("csv",), "nih": ("csv",)}


@dataclass(frozen=True, slots=True)
class Took:
    """What a piece of work took.

    Attributes:
        done: rows that it handled, by its own count.
        peak_mb: largest resident memory of its process, without workers; 10^6 bytes.
        start_mb: the same when everything was imported and nothing begun.
    """

    piece: str
    films: int
    done: int
    seconds: float
    peak_mb: float
    start_mb: float


def main() -> None:
    """Measure every piece at every size, and print the table."""
    options = _options()
    if options.piece:
        print(json.dumps(asdict(measured(options.piece, json.loads(options.asked)))))
        return
    found: list[Took] = []
    try:
        for rows in options.sizes:
            found += of_size(round(rows / (COPIES + 1)), options)
    except RunError as error:
        raise SystemExit(f"scale: {error}") from error
    print(f"{machine()}\n\n{versions()}\n\n{options.jobs} workers.\n\n{table(found)}")
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(found, options.plot)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="20000,200000,2000000,8000000", help="augmented images, by commas")
    parser.add_argument("--only", default="", help="pieces, by commas, beside those that make what they need")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers [one per core]")
    parser.add_argument("--share", type=float, default=0.05, help="of the shards that verify reads [0.05]")
    parser.add_argument("--work", type=Path, help="folder for the sets [a temporary one]")
    parser.add_argument("--plot", type=Path, help="file for the curves: .svg or .png")
    parser.add_argument("--json", type=Path, help="file for every single figure")
    parser.add_argument("--piece", help=argparse.SUPPRESS)  # how a piece gets a process of its own
    parser.add_argument("--asked", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.sizes = [int(rows) for rows in options.rows.split(",")]
    options.only = options.only.split(",") if options.only else []
    return options


def of_size(films: int, options: argparse.Namespace) -> list[Took]:
    """Return what every piece takes for so many films; the set is removed afterwards."""
    from benchmarks.scale_work import PIECES

    root = Path(tempfile.mkdtemp(prefix=f"scale-{films}-", dir=options.work))
    asked = {"root": str(root), "films": films, "copies": COPIES, "jobs": options.jobs, "share": options.share}
    wanted = options.only or list(PIECES)
    needed = {made for name in wanted for made in NEEDS.get(name, SET)}
    found = []
    try:
        for name in PIECES:
            if name in wanted or name in needed:
                command = [sys.executable, str(Path(__file__).resolve()), "--piece", name, "--asked", json.dumps(asked)]
                found.append(Took(**json.loads(finish(command).output.splitlines()[-1])))
                told = f"{found[-1].seconds:,.1f} s, {found[-1].peak_mb:,.0f} MB"
                print(f"{films:,} films: {name}: {told}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(root)
    return [one for one in found if one.piece in wanted]


def measured(piece: str, given: dict[str, object]) -> Took:
    """Do a piece of work here and return what it took."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # as the command line has it
    from benchmarks.scale_work import PIECES, Asked

    asked = Asked(**{**given, "root": Path(str(given["root"]))})  # type: ignore[arg-type]
    start_mb, started = _peak_mb(), time.perf_counter()
    done = PIECES[piece].run(asked)
    return Took(piece, asked.films, done, time.perf_counter() - started, _peak_mb(), start_mb)


def _peak_mb() -> float:
    """Return the largest resident memory of this process: getrusage would tell of the one that started it, too."""
    return resident_bytes() / 1e6


def table(found: Sequence[Took]) -> str:
    """Return a row per piece and size; bytes a row are what its peak grew by since the size before."""
    from benchmarks.scale_work import PIECES

    rows = [["piece", "films", "rows", "s", "us / row", "peak MB", "at its start", "bytes / row more"]]
    before: dict[str, Took] = {}
    for name, piece in PIECES.items():
        for one in (took for took in found if took.piece == name and not piece.setup):
            number = one.films * (COPIES + 1) if piece.per == "image" else one.films
            more = ""
            if (last := before.get(name)) is not None:
                smaller = last.films * (COPIES + 1) if piece.per == "image" else last.films
                more = f"{1e6 * (one.peak_mb - last.peak_mb) / (number - smaller):,.0f}"
            before[name] = one
            times = (f"{one.seconds:,.1f}", f"{1e6 * one.seconds / number:,.1f}")
            memory = (f"{one.peak_mb:,.0f}", f"{one.start_mb:,.0f}", more)
            rows.append([piece.what, f"{one.films:,}", f"{number:,} {piece.per}s", *times, *memory])
    return markdown(rows)


def plot(found: Sequence[Took], path: Path) -> None:
    """Draw peaks and times over the number of films: what holds an image's rows on the left, a film's on the right."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "scale"
    from matplotlib import pyplot as plt

    from benchmarks.scale_work import PIECES

    figure, panels = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for column, per in enumerate(("image", "film")):
        names = [name for name, piece in PIECES.items() if piece.per == per and not piece.setup]
        for row, (unit, of) in enumerate((("MB", "peak_mb"), ("s", "seconds"))):
            panel = panels[row, column]
            for number, name in enumerate(names):
                points = [(one.films, getattr(one, of)) for one in found if one.piece == name]
                if points:
                    panel.plot(*zip(*points, strict=True), marker="o", markersize=4, color=f"C{number}", label=name)
            panel.set(xscale="log", yscale="log", xlabel="films", ylabel=unit)
            panel.set_title(f"{'peak memory of the parent' if of == 'peak_mb' else 'time'}: work on {per}s")
            panel.grid(visible=True, alpha=0.3)
            panel.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
