"""Duplicates: films planted among real ones and found again, kind by kind; time and memory of the search by size.

python benchmarks/duplicates.py                                     both sets, and 10,000 to 100,000 made-up films
python benchmarks/duplicates.py --sets kermany-raw --sizes 10000     a quick look
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: threads of BLAS wait for cores that others use

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.films import real_films
from benchmarks.planted import KINDS, Planted, paths_under, plant, told
from benchmarks.printed import LEARNING, machine, markdown, versions
from benchmarks.processes import WORK, finish, resident_bytes, stage_command
from manifests import store
from manifests.rows import AUDITED, AuditedRow
from stages import paths
from stages.auditing.thumbnails import Thumbnails
from stages.films import decode, look
from stages.labels import kermany_name
from stages.statistics.alignment import SIDE
from stages.statistics.duplicates import Looks, twins
from stages.statistics.splits import linked

# Looked at: one radiograph, cropped and compressed differently, under two numbers of one patient.
SAME_BY_EYE = (("test/PNEUMONIA/person1669_virus_2884.jpeg", "test/PNEUMONIA/person1669_virus_2885.jpeg"),)
MADE_SIDE = 96  # of a made-up film
MADE_AT_ONCE = 50
PLANTED = 200  # crops among made-up films
OWN, RIBS = (
    16,
    12,
)  # grey levels of what made-up films have of their own, and share: about as alike as real films at 16 x 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method says of a set.

    Attributes:
        cluster: of each path, the first film of its kind.
        how: of each path that is a duplicate, what tells it from that film, where the method says it.
        seconds: that it took.
    """

    cluster: Mapping[str, str]
    how: Mapping[str, str]
    seconds: float


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.search:
        print(json.dumps(search(options.search)))
        return
    print(f"{machine()}\n{versions(LEARNING)}\n")
    for name in filter(None, options.sets.split(",")):
        print(benchmark_set(name, options), end="\n\n", flush=True)
    if options.sizes:
        print(size_table([int(size) for size in options.sizes.split(",")]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, default=real_films(), help="where kermany-raw/ and kermany-224/ lie [CXR_REAL_FILMS]"
    )
    parser.add_argument("--sets", default="kermany-raw,kermany-224", help="folders of films, by commas")
    parser.add_argument("--sizes", default="10000,50000,100000", help="made-up films, by commas; none where empty")
    parser.add_argument("--each", type=int, default=60, help="films planted of each kind [60]")
    parser.add_argument("--seed", type=int, default=1, help="of what is planted [1]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers [one per core]")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-duplicates", help=WORK)
    parser.add_argument("--search", type=int, help=argparse.SUPPRESS)  # how a search gets a process of its own
    return parser.parse_args()


# --- planted among real films ----------------------------------------------------------------------------------


def benchmark_set(name: str, options: argparse.Namespace) -> str:
    """Return what is found of the films planted in a set, by this tool and by others."""
    root = options.work / name
    shutil.rmtree(root, ignore_errors=True)
    planted = plant(options.films / name, root / "raw", each=options.each, seed=options.seed)
    answers = {"audit": audited(root, options.jobs), "32 x 32 correlation": correlated(root / "raw")}
    if (other := cleanvision(root / "raw", options.jobs)) is not None:
        answers["cleanvision"] = other
    summary = json.loads((root / paths.AUDIT_SUMMARY).read_text())["duplicates"]
    number = len(paths_under(root / "raw"))
    lines = [
        f"{name}: {number - len(planted):,} films and {len(planted)} planted; threshold {summary['near_threshold']:.3f}"
        f" ({summary['near_threshold_source']}), for one patient's films {summary['near_threshold_siblings']:.3f}.",
        kind_table(planted, answers),
        precision_table(root / "raw", planted, answers),
    ]
    return "\n\n".join(lines)


def audited(root: Path, jobs: int) -> Answer:
    """Return what the audit says; the time is the whole audit's."""
    command = [*stage_command("audit", root, jobs=jobs), "--raw", str(root / "raw")]
    taken = finish(command).wall_s
    rows = [row for row in store.read(AUDITED, root / paths.AUDIT) if isinstance(row, AuditedRow)]
    pairs = [(row.path, of) for row in rows if (of := row.exact_duplicate_of or row.near_duplicate_of)]
    hows = {row.path: "same_bytes" if row.exact_duplicate_of else str(row.near_duplicate_how) for row in rows}
    return Answer(clusters(paths_under(root / "raw"), pairs), hows, taken)


def correlated(raw: Path) -> Answer:
    """Return what this tool said before: pairs whose 32 x 32 thumbnails correlate, the threshold from other groups."""
    started = time.perf_counter()
    files = paths_under(raw)
    small = [look.reduced(decode.decode((raw / path).read_bytes())[1]) for path in files]
    vectors = np.array([np.frombuffer(look.thumbnail(one, side=32), np.uint8) for one in small]).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    groups = np.array([str(kermany_name(path)) for path in files])
    chosen = np.random.Generator(np.random.Philox(key=0)).permutation(len(files))[:2000]
    products = vectors[chosen] @ vectors.T
    products[(groups[chosen][:, None] == groups) | (products >= 0.998)] = -1
    low, high = np.quantile(np.arctanh(products.max(axis=1)), [0.25, 0.75])
    spread = (high - low) / (-np.log(-np.log(0.75)) + np.log(-np.log(0.25)))
    told = np.tanh(low + spread * (np.log(-np.log(0.25)) - np.log(-np.log1p(-0.5 / len(chosen)))))
    threshold = float(np.clip(told, 0.99, 0.998))
    found = [
        (files[start + one], files[other])
        for start in range(0, len(files), 1024)
        for one, other in np.argwhere(vectors[start : start + 1024] @ vectors.T >= threshold).tolist()
        if start + one > other
    ]
    return Answer(clusters(files, found), {}, time.perf_counter() - started)


def cleanvision(raw: Path, jobs: int) -> Answer | None:
    """Return what cleanvision says, or None where it is not installed."""
    try:
        from cleanvision import Imagelab
    except ImportError:
        return None
    started = time.perf_counter()
    lab = Imagelab(filepaths=[str(raw / path) for path in paths_under(raw)], verbose=False)
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=jobs, verbose=False)
    pairs = []
    for kind in ("exact_duplicates", "near_duplicates"):
        for found in lab.info[kind]["sets"]:
            named = [Path(path).relative_to(raw).as_posix() for path in found]
            pairs += [(named[0], path) for path in named[1:]]
    return Answer(clusters(paths_under(raw), pairs), {}, time.perf_counter() - started)


def clusters(files: Sequence[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the first film of the kind of each."""
    place = {path: number for number, path in enumerate(files)}
    first = linked(len(files), [(place[one], place[other]) for one, other in pairs])
    return {path: files[first[number]] for path, number in place.items()}


def kind_table(planted: Sequence[Planted], answers: Mapping[str, Answer]) -> str:
    """Return how many of each kind are found beside the film they were made from, and told for what they are."""
    ours = answers["audit"]
    rows = [["planted", "n", *(f"{name}: found" for name in answers), "audit: told what was done"]]
    for kind in KINDS:
        films = [film for film in planted if film.kind == kind]
        found = [
            sum(answer.cluster[film.path] == answer.cluster[film.original] for film in films)
            for answer in answers.values()
        ]
        # where the changed film comes first by path, it is the original that is told to differ
        said = sum(told(film) in {ours.how.get(film.path), ours.how.get(film.original)} for film in films)
        rows.append([kind, str(len(films)), *map(str, found), str(said)])
    return markdown(rows)


def precision_table(raw: Path, planted: Sequence[Planted], answers: Mapping[str, Answer]) -> str:
    """Return how many films each method ties to another, and to a film that shows another radiograph."""
    same = [(film.path, film.original) for film in planted]
    by_bytes = defaultdict(list)
    for path in paths_under(raw):
        by_bytes[(raw / path).read_bytes()].append(path)
    same += [(found[0], path) for found in by_bytes.values() for path in found[1:]]
    same += [pair for pair in SAME_BY_EYE if (raw / pair[0]).exists()]
    truth = clusters(paths_under(raw), same)
    rows = [["method", "films tied to another", "to another radiograph", "precision", "whole process, s"]]
    for name, answer in answers.items():
        tied = [path for path, first in answer.cluster.items() if path != first]
        wrong = [path for path in tied if truth[path] != truth[answer.cluster[path]]]
        share = 1 - len(wrong) / max(1, len(tied))
        rows.append([name, f"{len(tied):,}", f"{len(wrong):,}", f"{100 * share:.1f} %", f"{answer.seconds:.1f}"])
        if name == "audit" and wrong:
            print("\n".join(f"{path} tied to {answer.cluster[path]}" for path in wrong[:20]), file=sys.stderr)
    return markdown(rows)


# --- by size ---------------------------------------------------------------------------------------------------


def size_table(sizes: Sequence[int]) -> str:
    """Return time and memory of the search among made-up films, each size in a process of its own."""
    rows = [
        ["films", "look, s", "search, s", "of it: pairs looked at", "peak MB", f"of {PLANTED} crops found", "others"]
    ]
    for size in sizes:
        ended = finish([sys.executable, str(Path(__file__).resolve()), "--search", str(size)])
        found = json.loads(ended.output.splitlines()[-1])
        rows.append(
            [
                f"{size:,}",
                f"{found['look_s']:.1f}",
                f"{found['search_s']:.1f}",
                f"{found['looked_at']:,}",
                f"{found['peak_mb']:,.0f}",
                str(found["found"]),
                str(found["others"]),
            ]
        )
    return markdown(rows)


def search(size: int) -> dict[str, float]:
    """Return the time of a search among made-up films, and how many of the crops planted there are found."""
    crops = min(PLANTED, size // 4)
    with Thumbnails(Path(tempfile.gettempdir())) as thumbnails:
        originals: list[NDArray[np.uint8]] = []
        for start in range(0, size - crops, MADE_AT_ONCE):
            films = made_up(start, min(MADE_AT_ONCE, size - crops - start))
            originals += list(films[: crops - len(originals)])
            for film in films:
                thumbnails.add(small(film))
        for number, film in enumerate(originals):
            thumbnails.add(small(cut(film, number)))
        started = time.perf_counter()
        looks = Looks.of(thumbnails, np.arange(size))
        looked = time.perf_counter()
        found = twins(looks, np.arange(size))
        ended = time.perf_counter()
    pairs = set(zip(found.pairs.first.tolist(), found.pairs.second.tolist(), strict=True))
    expected = {(number, size - crops + number) for number in range(crops)}
    return {
        "look_s": looked - started,
        "search_s": ended - looked,
        "looked_at": found.looked_at,
        "found": len(pairs & expected),
        "others": len(pairs - expected),
        "peak_mb": resident_bytes() / 2**20,
    }


def made_up(start: int, number: int) -> NDArray[np.uint8]:
    """Return films that share a chest's shading and differ as chest films do: by 1 / f of each frequency."""
    words = np.random.Generator(np.random.Philox(key=start + 1))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(MADE_SIDE), np.fft.rfftfreq(MADE_SIDE), indexing="ij"))
    spectrum = np.fft.rfft2(words.standard_normal((number, MADE_SIDE, MADE_SIDE), np.float32))
    own = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / MADE_SIDE) ** 1.3)
    rows, columns = np.mgrid[-1 : 1 : MADE_SIDE * 1j, -1 : 1 : MADE_SIDE * 1j]
    lungs = sum(np.exp(-(((columns - x) / 0.3) ** 2) - (rows / 0.6) ** 2) for x in (-0.45, 0.45))
    ribs = sum(np.cos(np.pi * of * (rows + turn * np.abs(columns))) for of, turn in ((9, 0.3), (14, 0.5))) * lungs
    own /= own.std(axis=(1, 2), keepdims=True)
    return np.asarray(np.clip(160 - 80 * lungs + OWN * own + RIBS * ribs, 0, 255), np.uint8)


def small(film: NDArray[np.uint8]) -> bytes:
    """Return a film's thumbnail."""
    return look.thumbnail(Image.fromarray(film), side=SIDE)


def cut(film: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """Return a film less 2 to 5 % at each side."""
    words = np.random.Generator(np.random.Philox(key=[7, number]))
    top, bottom, left, right = (int(words.integers(2, 6)) for _ in range(4))
    return film[top : MADE_SIDE - bottom, left : MADE_SIDE - right]


if __name__ == "__main__":
    main()
