"""Build one set on every backend, under a folder and in a store, and compare: `python -m tests.attacks.everywhere`.

Every way must give the same bytes: the hash over the `sha256` column of both manifests of images, and the names of
the shards. The store is moto's server on this machine, the clusters are processes of this machine: the times say what
each way costs beside the work, and nothing of another machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.printed import machine, markdown, versions
from manifests import bounds
from manifests.objects import ObjectPath
from manifests.places import AnyPath, cache_of_run
from stages import paths
from tests.attacks.clusters import dask_cluster, ray_cluster
from tests.stores import BUCKET, SECRETS, moto

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = (paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST)
ON_THIS_MACHINE = ("sequential", "threading", "loky --jobs 1", "loky --jobs 2", "loky --jobs 8")


@dataclass(frozen=True)
class Way:
    """How a set is built.

    Attributes:
        name: of the backend, as the table says it.
        flags: of the command.
        root: a folder or a prefix.
    """

    name: str
    flags: tuple[str, ...]
    root: AnyPath


@dataclass(frozen=True)
class Built:
    """What came of it: the images, the hash of their hashes, the hash of the shards' names, and the seconds."""

    images: int
    hashes: str
    shards: str
    wall_s: float


def main() -> None:
    """Build the set everywhere and print the table; exit 1 where two ways differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, help="raw films [phantoms]")
    parser.add_argument("--films", type=int, default=60, help="phantoms, without --raw [60]")
    parser.add_argument("--copies", type=int, default=20, help="of each training film [20]")
    options = parser.parse_args()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="everywhere-")))
        raw = options.raw.resolve() if options.raw else _phantoms(work, options.films)
        for name, value in {**SECRETS, "AWS_ENDPOINT_URL": stack.enter_context(moto())}.items():
            os.environ[name] = value
        stack.enter_context(cache_of_run())
        params = work / "params.yaml"
        params.write_text(f"augment:\n  copies: {options.copies}\n", encoding="utf-8")
        found = {way: _built(way, raw, params) for way in _ways(work)}
    print(f"{machine()}\n\n{versions()}\n\n{table(found)}")
    if len({(built.hashes, built.shards) for built in found.values()}) > 1:
        raise SystemExit("everywhere: two ways gave other bytes")


def _ways(work: Path) -> Iterator[Way]:
    """Yield each backend with a root in a folder and one in the store, its cluster running meanwhile."""
    for flags in ON_THIS_MACHINE:
        yield from _both(flags, tuple(f"--backend {flags}".split()), work)
    for cluster_of in (dask_cluster, ray_cluster):
        folder = work / cluster_of.__name__
        folder.mkdir()
        with cluster_of(folder) as cluster:
            yield from _both(f"{cluster.backend}, 2 workers", cluster.flags, work)


def _both(name: str, flags: tuple[str, ...], work: Path) -> Iterator[Way]:
    called = "".join(letter for letter in name if letter.isalnum())
    yield Way(name, flags, work / called)
    yield Way(name, flags, ObjectPath.of(f"s3://{BUCKET}/{called}"))


def _phantoms(work: Path, films: int) -> Path:
    _run("phantom", "--root", str(work), "--films", str(films))
    return work / "data" / "raw"


def _built(way: Way, raw: Path, params: Path) -> Built:
    print(f"{way.name}, {_kind(way.root)}", file=sys.stderr, flush=True)
    started = time.perf_counter()
    _run("build", "--root", str(way.root), "--raw", str(raw), *way.flags, "--params", str(params))
    wall_s = time.perf_counter() - started
    columns = [next(iter(bounds.columns(way.root / name, ["sha256"]))).to_pylist() for name in MANIFESTS]
    names = [next(iter(bounds.columns(way.root / name, ["shard"]))).to_pylist() for name in MANIFESTS]
    hashes = [value for column in columns for value in column if value]
    return Built(
        len(hashes), _digest(hashes), _digest(sorted({str(name) for column in names for name in column})), wall_s
    )


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _run(*arguments: str) -> None:
    command = [sys.executable, "-m", "pipeline", *arguments, "--no-progress"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def _kind(root: AnyPath) -> str:
    return "store" if isinstance(root, ObjectPath) else "folder"


def table(found: Mapping[Way, Built]) -> str:
    """Return a row for each way."""
    rows = [["backend", "root", "images", "s", "sha256 of the sha256 columns", "of the shards' names"]]
    for way, built in found.items():
        told = (f"{built.images:,}", f"{built.wall_s:.1f}", built.hashes, built.shards)
        rows.append([way.name, _kind(way.root), *told])
    return markdown(rows)


if __name__ == "__main__":
    main()
