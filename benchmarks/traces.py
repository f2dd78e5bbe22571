"""Whether the traces that the audit looks for tell compressions apart in normalized pixels, and nothing else.

python benchmarks/traces.py                375 full-size films, some minutes of one core

The same films, all classes mixed, are saved again at full size at one JPEG quality and at another, normalized, and a
ridge of other patients is asked which is which. Size, aspect and anatomy are the same on both sides. A film that was of
quality 75 already stays the same at 75, since its coefficients lie on the quantizer's steps: so the films are also cut
by three rows and five columns first, as films whose blocks lay elsewhere.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: threads of BLAS wait for cores that others use

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.films import real_films
from benchmarks.printed import machine as this_machine
from benchmarks.printed import markdown
from stages.films import decode, traces
from stages.films.frame import Frame
from stages.films.placement import Policy, fit, place
from stages.films.specimen import SPECIMEN, Aim
from stages.labels import kermany_name
from stages.statistics.scores import auc
from stages.statistics.tells import Tell, cross_told, without

FRAME = Frame(height=256, width=300)
QUALITIES = ((95, 75), (95, 85), (75, 60), (95, 94))
AS_IT_IS = 0  # in place of a quality
RELABELLINGS = 20
Kept = Mapping[tuple[bool, int], NDArray[np.void]]  # of the films: by whether they are cut, and by quality


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, default=real_films() / "kermany-raw", help="raw films [kermany-raw of CXR_REAL_FILMS]"
    )
    parser.add_argument(
        "--every", type=int, default=1, help="take every so many films; beyond 5, patients are too few [1]"
    )
    parser.add_argument("--policy", default="cover", choices=get_args(Policy), help="how films fill the frame [cover]")
    options = parser.parse_args()
    paths = sorted(options.films.rglob("*.jpeg"))[:: options.every]
    _, groups = np.unique([str(kermany_name(path.name)) for path in paths], return_inverse=True)
    kept, qualities = specimens(paths, Aim(FRAME, options.policy))
    print(f"{this_machine()} {len(paths)} films of {groups.max() + 1} patients, {options.policy}.")
    print(f"{qualities.count(75)} of them were saved at quality 75.\n")
    head = ["saved again at", "AUC", "95 % interval", "at equal scale", "95 % interval", "relabelled"]
    print(markdown([head, *compared(kept, groups, qualities)]))
    print(f"\n{normals(kept, paths, groups)}\n\n{empty(kept[False, AS_IT_IS], paths, groups)}")
    print(f"\n{single(kept[True, 95], kept[True, 75])}\n\n{timing(paths[:100], options.policy)}")


def specimens(paths: Sequence[Path], aim: Aim) -> tuple[Kept, list[int | None]]:
    """Return what the audit keeps of each film, cut or not, saved again or as it is, and the films' own qualities."""
    wanted = (AS_IT_IS, *sorted({one for pair in QUALITIES for one in pair}))
    kept = {(cut, one): np.empty(len(paths), SPECIMEN) for cut in (False, True) for one in wanted}
    qualities = []
    for number, path in enumerate(paths):
        header, image = decode.decode(path.read_bytes())
        qualities.append(header.jpeg_quality)
        for (cut, quality), seen in kept.items():
            film = image.crop((5, 3, image.width, image.height)) if cut else image
            saved = film if quality == AS_IT_IS else saved_again(film, quality)
            seen[number] = np.frombuffer(aim.specimen(saved), SPECIMEN)[0]
    return kept, qualities


def compared(kept: Kept, groups: NDArray[np.int64], qualities: Sequence[int | None]) -> Iterator[list[str]]:
    """Yield a row for each pair of qualities, whole films and cut ones, then rows for some of the films alone."""
    for cut in (False, True):
        for one, other in QUALITIES:
            name = f"JPEG {one} against {other}{', cut first' if cut else ''}"
            yield row(kept[cut, one], kept[cut, other], groups, name)
    of_another = np.array([quality != 75 for quality in qualities])
    yield _pair(kept, groups, of_another, cut=False, name=f"the {of_another.sum()} films of another quality")
    scale = kept[True, 95]["scale"].mean(axis=1)
    smaller = scale > np.median(scale)  # scale: log2 of the frame's pixels for one of the film
    yield _pair(kept, groups, smaller, cut=True, name="cut first, the smaller half")
    yield _pair(kept, groups, ~smaller, cut=True, name="cut first, the larger half")


def _pair(
    kept: Kept,
    groups: NDArray[np.int64],
    which: NDArray[np.bool_],
    *,
    cut: bool,
    name: str,
) -> list[str]:
    return row(kept[cut, 95][which], kept[cut, 75][which], groups[which], f"JPEG 95 against 75, {name}")


def saved_again(image: Image.Image, quality: int) -> Image.Image:
    """Return a film as a JPEG of a quality leaves it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


def row(one: NDArray[np.void], other: NDArray[np.void], groups: NDArray[np.int64], name: str) -> list[str]:
    """Return how well two sets of the same films are told apart, and how well they are after a random relabelling."""
    both = np.concatenate([one, other])
    is_other = np.arange(len(both)) >= len(one)
    patients = np.concatenate([groups, groups])
    plain = both["traces"].astype(np.float64)
    found = [_apart(features, is_other, patients) for features in (plain, partial(_at_equal_scale, both))]
    random = [_apart(plain, _relabelled(len(one), key), patients).auc for key in range(RELABELLINGS)]
    cells = [cell for each in found for cell in (f"{each.auc:.3f}", f"{each.low:.3f} to {each.high:.3f}")]
    return [name, *cells, f"{np.mean(random):.3f} (SD {np.std(random):.3f})"]


def _apart(features: Any, is_other: NDArray[np.bool_], patients: NDArray[np.int64]) -> Tell:
    return cross_told(features, is_other.astype(np.int64), patients, {"other": 1})["other"]


def _relabelled(films: int, key: int) -> NDArray[np.bool_]:
    """Return which copy of each film is called the other one, by the toss of a coin."""
    first = np.random.Generator(np.random.Philox(key=key)).random(films) < 0.5
    return np.concatenate([first, ~first])


def normals(kept: Kept, paths: Sequence[Path], groups: NDArray[np.int64]) -> str:
    """Return how well traces tell the normals, as films were delivered and after all were saved at one quality."""
    rows = []
    for split in ("train", "test"):
        of_split = np.array([split in path.parts for path in paths])
        normal = np.array(["NORMAL" in path.parts for path in paths])[of_split].astype(np.int64)
        for key, name in (((False, AS_IT_IS), "as delivered"), ((True, 75), "all cut and saved at 75")):
            films = kept[key][of_split]
            told = [
                cross_told(features, normal, groups[of_split], {"normal": 1})["normal"]
                for features in (films["traces"].astype(np.float64), partial(_at_equal_scale, films))
            ]
            cells = [cell for each in told for cell in (f"{each.auc:.2f}", f"{each.low:.2f} to {each.high:.2f}")]
            rows.append([f"{split}, {name}", f"{len(films)}", *cells])
    return markdown([["normal against the rest", "films", "AUC", "95 %", "at equal scale", "95 %"], *rows])


def empty(films: NDArray[np.void], paths: Sequence[Path], groups: NDArray[np.int64]) -> str:
    """Return what is found at equal scale in numbers that know the scale alone."""
    told = []
    for split in ("train", "test"):
        of_split = np.array([split in path.parts for path in paths])
        labels = np.array(["bacteria" in path.name for path in paths])[of_split].astype(np.int64)
        some = films[of_split].copy()
        found = []
        for key in range(RELABELLINGS):
            words = np.random.Generator(np.random.Philox(key=key))
            scale = some["scale"].mean(axis=1, keepdims=True)
            some["traces"] = words.normal(size=some["traces"].shape) + scale**2 * words.normal(size=len(traces.NAMES))
            found.append(cross_told(partial(_at_equal_scale, some), labels, groups[of_split], {"b": 1})["b"].auc)
        told.append(f"{split} {np.mean(found):.2f} (SD {np.std(found):.2f})")
    return f"Noise that knows the scale alone, bacterial against the rest at equal scale, AUC: {', '.join(told)}."


def _at_equal_scale(films: NDArray[np.void], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    return without(films["scale"], films["traces"], known=films["scale"][known], of_known=films["traces"][known])


def single(one: NDArray[np.void], other: NDArray[np.void]) -> str:
    """Return the AUC of each trace alone, 95 against 75."""
    is_other = np.arange(2 * len(one)) >= len(one)
    values = np.concatenate([one["traces"], other["traces"]])
    told = [f"{name} {auc(values[:, at], is_other):.2f}" for at, name in enumerate(traces.NAMES)]
    return f"Each trace alone, 95 against 75, cut first, AUC: {', '.join(told)}."


def timing(paths: Sequence[Path], policy: Policy) -> str:
    """Return what a film's traces cost beside its decode."""
    spent = dict.fromkeys(("decode", "fit", "traces", "specimen"), 0.0)
    for path in paths:
        data = path.read_bytes()
        clock = [time.perf_counter()]
        header, image = decode.decode(data)
        clock.append(time.perf_counter())
        placement = place(header.frame, frame=FRAME, policy=policy)
        framed = fit(image, placement)
        clock.append(time.perf_counter())
        traces.traces(framed, placement)
        clock.append(time.perf_counter())
        Aim(FRAME, policy).specimen(image)
        clock.append(time.perf_counter())
        for name, step in zip(spent, np.diff(clock), strict=True):
            spent[name] += 1000 * step / len(paths)
    return f"ms a film of {len(paths)}: " + ", ".join(f"{name} {took:.2f}" for name, took in spent.items())


if __name__ == "__main__":
    main()
