"""Attack the tool with files that were made to harm it: `make attack-hostile`, or `python -m tests.attacks.hostile`.

A raw folder is filled with the crash tests of other decoders (CXR_REAL_FILMS/hostile, where it is at hand), with
files that are spoilt on purpose (`mutations.py`), and with what is no plain file (`special.py`). The command runs
over it, stage by stage. Every file must be a row; whatever is usable must come through to the copies; nothing may
hang, print a traceback or take memory without bound.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pyarrow.parquet as pq

from benchmarks.films import real_films
from benchmarks.processes import watched
from manifests import store
from manifests.rows import AUDITED, SPLIT
from stages import paths
from stages.auditing import examine
from stages.auditing import files as audit_files
from tests.attacks.mutations import mutations
from tests.attacks.special import plant

REPOSITORY = Path(__file__).resolve().parents[2]
CORPUS = real_films() / "hostile"
STAGES = (("audit", "--labels", "folder"), ("split",), ("normalize",), ("augment", "--copies", "2"), ("verify",))
SECONDS = 1800  # a command that takes longer hangs, and is killed


@dataclass
class Finished:
    """What a command did: how it ended, what it said, and the most memory that it and each worker had."""

    code: int
    said: str
    complained: str
    elapsed_s: float
    parent_mb: int
    worker_mb: int


@dataclass(frozen=True)
class Outcome:
    """What the attack found."""

    files: int
    rows: int
    statuses: Counter[str]
    unexplained: int
    usable: int
    train: int
    normalized: int
    copies: int
    commands: dict[str, Finished]

    @property
    def failures(self) -> list[str]:
        """What went wrong; empty where nothing did."""
        found = [
            f"{name} ended with {command.code}: {command.complained[-300:]}"
            for name, command in self.commands.items()
            if command.code
        ]
        found += [
            f"{name} wrote to standard error: {command.complained[:300]!r}"
            for name, command in self.commands.items()
            if command.complained and not command.code
        ]
        if self.files != self.rows:
            found.append(f"{self.files} files became {self.rows} rows")
        if self.unexplained:
            found.append(f"{self.unexplained} rows are set aside without a reason, or used with one")
        if (self.usable, 3 * self.train) != (self.normalized, self.copies):
            found.append(
                f"of {self.usable} usable films {self.normalized} are normalized; {self.train} x 3 {self.copies}"
            )
        return found


def fill(raw: Path, *, spoilt: int, seed: int, corpus: Path = CORPUS) -> None:
    """Put every kind of hostile file under the raw folder."""
    raw.mkdir(parents=True)
    if corpus.is_dir():
        shutil.copytree(corpus, raw / "ill" / "corpus")
    (raw / "ill" / "spoilt").mkdir(parents=True)
    for name, data in mutations(spoilt, seed=seed):
        (raw / "ill" / "spoilt" / name).write_bytes(data)
    plant(raw)


def files_in(raw: Path) -> int:
    """Return how many files there are by another's count: `find`, which follows no link and no path too long."""
    found = subprocess.run(["find", raw, "!", "-type", "d", "-print0"], check=True, capture_output=True)
    return found.stdout.count(b"\0")


def run(root: Path, *command: str) -> Finished:
    """Run a command of the tool over a root and watch its memory."""
    started = time.perf_counter()
    with (root / "out.txt").open("w") as out, (root / "err.txt").open("w") as err:
        name, *options = command
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", name, "--root", str(root), "--no-progress", "--jobs", "2", *options],
            cwd=REPOSITORY,
            stdout=out,
            stderr=err,
        )
        limit = threading.Timer(SECONDS, process.kill)
        limit.start()
        try:
            peaks = {pid: peak // 2**20 for pid, peak in watched(process).items()}
        finally:
            limit.cancel()
        elapsed_s = time.perf_counter() - started
    workers = [peak for worker, peak in peaks.items() if worker != process.pid]
    said, complained = ((root / name).read_text() for name in ("out.txt", "err.txt"))
    return Finished(process.returncode, said, complained, elapsed_s, peaks[process.pid], max(workers, default=0))


def attack(root: Path) -> Outcome:
    """Run the stages over the files under a root, and return what became of them."""
    commands = {stage[0]: run(root, *stage) for stage in STAGES}
    rows = store.read(AUDITED, root / paths.AUDIT) if (root / paths.AUDIT).exists() else []
    divided = store.read(SPLIT, root / paths.SPLIT) if (root / paths.SPLIT).exists() else []
    films = [row for row in divided if row.status == "ok"]
    return Outcome(
        files=files_in(root / paths.RAW),
        rows=len(rows),
        statuses=Counter(str(row.status) for row in rows),
        unexplained=sum((row.reason is None) != (row.status == "ok") for row in rows),
        usable=len(films),
        train=sum(row.split == "train" for row in films),
        normalized=_rows_in(root / paths.NORMALIZED_MANIFEST),
        copies=_rows_in(root / paths.AUGMENTED_MANIFEST),
        commands=commands,
    )


def _rows_in(manifest: Path) -> int:
    """Return how many rows a manifest has; none where its stage failed."""
    rows: int = pq.read_metadata(manifest).num_rows if manifest.exists() else 0
    return rows


def slowest(raw: Path) -> tuple[float, str]:
    """Return the longest that one file took, in seconds, and which it was."""
    found = (0.0, "")
    for path in audit_files.files_under(raw):
        started = time.perf_counter()
        examine.audit_one(path, raw=raw)
        found = max(found, (time.perf_counter() - started, path))
    return found


def report(outcome: Outcome, longest: tuple[float, str]) -> str:
    """Return what a person should see."""
    seconds, path = longest
    return "\n".join(
        [
            f"files in {outcome.files:,}, rows out {outcome.rows:,}, without a reason {outcome.unexplained}",
            *(f"  {number:6,} {status}" for status, number in outcome.statuses.most_common()),
            f"usable {outcome.usable:,}, normalized {outcome.normalized:,}, "
            f"images of {outcome.train:,} training films {outcome.copies:,}",
            f"longest for one file {seconds:.2f} s: {path[-60:]!r}",
            *(
                f"{name}: exit {command.code}, {command.elapsed_s:.1f} s, peak memory {command.parent_mb} MB, "
                f"of a worker {command.worker_mb} MB"
                for name, command in outcome.commands.items()
            ),
            *(f"FAILED: {failure}" for failure in outcome.failures),
        ]
    )


def main() -> int:
    """Fill a folder, attack, print; 1 where something went wrong."""
    parser = argparse.ArgumentParser(description="Run the tool over files that were made to harm it.")
    parser.add_argument("--spoilt", type=int, default=6000, help="files to spoil")
    parser.add_argument("--seed", type=int, default=0, help="another seed spoils them in other ways")
    parser.add_argument("--keep", type=Path, help="a folder to work in and to leave as it is")
    options = parser.parse_args()
    root = options.keep or Path(mkdtemp())
    try:
        fill(root / paths.RAW, spoilt=options.spoilt, seed=options.seed)
        outcome = attack(root)
        print(report(outcome, slowest(root / paths.RAW)))
    finally:
        if options.keep is None:
            subprocess.run(["rm", "-rf", root], check=True)  # shutil.rmtree recurses, and the folders are deep
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
