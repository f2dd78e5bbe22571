"""predict: the classes' probabilities of single films or folders of them, as the trained network sees them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from manifests import source, store
from manifests.places import joined, place_of
from manifests.rows import Status
from stages import paths
from stages.auditing.files import readable
from stages.contract import Failure, Machine, Params, ParamsError, Report, Retry, Root, Stage, StageError, begin
from stages.films.decode import DecodeError
from stages.films.frame import Frame, Gray
from stages.normalize import NormalizeParams, normalize_one

if TYPE_CHECKING:
    from stages.learning.checkpoint import Checkpoint

PIXELS_AT_ONCE = 1 << 26  # of films in the frame: 64 MB wait for the network, however many films there are
FILMS_AT_ONCE = 1024  # as many as `evaluate` takes, and all batches of the network but the last are full

Write = Callable[[bytes], None]


class PredictParams(Params):
    """Which films are looked at, by which network, and how the answers are written."""

    films: tuple[str, ...] = Field(
        (),
        description="Files, as audit reads them, and folders, with all that lies in them. A file that is no usable "
        "film gets a row that says why.",
    )
    model: str = Field(paths.MODEL, description="The trained network, under the root.")
    format: Literal["csv", "jsonl"] = Field("csv", description="csv: a header and a line per film; jsonl: JSON lines.")
    out: str = Field("", description="File to write under the root; without one, the rows alone go to standard output.")


@dataclass(frozen=True, slots=True)
class FilmJob:
    """One film; with what is known of it, if it ended the process that looked at it."""

    path: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A film in the network's frame, or why there is none."""

    status: Status
    reason: str | None
    image: Gray | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is written of a film; without probabilities where it is no usable one."""

    path: str
    status: Status
    reason: str | None
    probabilities: Sequence[np.float32] | NDArray[np.float32] = ()


# --- from files to films in the frame --------------------------------------------------------------------------


def films_of(given: Sequence[str]) -> list[str]:
    """Return the films that paths name: files as they are given, folders' files sorted, linked folders followed once.

    Raises:
        ParamsError: where no path is given.
        StageError: where a folder holds no file.
    """
    if not given:
        raise ParamsError("predict: names no film; expected films or folders of them: cxr-pipeline predict FOLDER")
    found: list[str] = []
    for path in given:
        folder = place_of(path)
        if folder.is_dir():
            inside = sorted(source.walk(folder))
            if not inside:
                raise StageError(f"{path}: holds no file; expected films in it, or in folders in it")
            found += [str(folder / name) for name in inside]
        else:
            found.append(path)
    return found


def prepare(job: FilmJob, *, params: NormalizeParams) -> Prepared:
    """Return a job's film in the frame, as `normalize` brings it there, or why there is none."""
    if job.failure is not None:
        return Prepared(job.failure.status, job.failure.reason)
    begin(job.path)
    try:
        image, _ = normalize_one(source.read(place_of(job.path)), params=params)
    except source.SourceError as error:
        return Prepared(error.status, "no such file" if error.status == "missing" else str(error))
    except DecodeError as error:
        return Prepared(error.status, str(error))
    return Prepared("ok", None, image)


def without(job: FilmJob, failures: Mapping[str, Failure]) -> FilmJob:
    """Return a film's job with what is known of it."""
    return replace(job, failure=failures[job.path])


def normalization_of(network: Checkpoint, model: str) -> NormalizeParams:
    """Return how the films came into the frame that the network was trained on.

    Raises:
        StageError: where the model does not say, or says it in a way that this version does not know.
    """
    told = network.facts.get("normalization")
    if told is None:
        raise StageError(f"{model}: does not say how its films were normalized; it is of an older version, train again")
    try:
        params = NormalizeParams.model_validate_json(told)
    except ValueError as error:
        raise StageError(f"{model}: its films were normalized in a way not known here ({told[:200]})") from error
    if params.frame != network.frame:
        raise StageError(
            f"{model}: takes {network.frame.height}x{network.frame.width} pixels, and says that its films were "
            f"{params.height}x{params.width}; run train again"
        )
    return params


# --- the rows --------------------------------------------------------------------------------------------------


def header(classes: Sequence[str], *, form: str) -> bytes:
    """Return what stands before the rows: the columns' names in CSV, nothing in JSON lines."""
    names = ["path", "predicted", *(f"probability_{name}" for name in classes), "status", "reason"]
    return _csv_line(names) if form == "csv" else b""


def row(answer: Answer, classes: Sequence[str], *, form: str) -> bytes:
    """Return a film's line; probabilities in the fewest digits that give the same float32 again."""
    # first of equals, as evaluate's argmax
    predicted = classes[int(np.argmax(answer.probabilities))] if len(answer.probabilities) else None
    digits = [str(value) for value in answer.probabilities]
    if form == "csv":
        cells = digits or [""] * len(classes)
        return _csv_line([answer.path, predicted or "", *cells, answer.status, answer.reason or ""])
    told: dict[str, Any] = {
        "path": answer.path,
        "predicted": predicted,
        "probabilities": dict(zip(classes, map(float, digits), strict=True)) if digits else None,
        "status": answer.status,
        "reason": answer.reason,
    }
    return (json.dumps(told, ensure_ascii=False) + "\n").encode()


def _csv_line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


@contextmanager
def _opened(out: str, root: Root, results: Write) -> Iterator[Write]:
    """Yield what takes the rows: a file that appears when all are written, or standard output as they come."""
    if not out:
        yield results
        return
    with store.written_aside(joined(root, out)) as aside, aside.open("wb") as file:

        def write(lines: bytes) -> None:
            file.write(lines)

        yield write


# --- the command -----------------------------------------------------------------------------------------------


def run(params: PredictParams, root: Root, machine: Machine) -> Report:
    """Write a row for every film, good or bad."""
    from stages.learning import checkpoint, devices, prediction  # noqa: PLC0415 - torch is slow to import

    films = films_of(params.films)
    device = devices.device_for(machine.device)
    network = checkpoint.load(joined(root, params.model), device)
    judge = partial(prediction.probabilities, network, device=device)
    normalization = normalization_of(network, params.model)
    statuses: Counter[Status] = Counter()
    with (
        _opened(params.out, root, machine.results) as write,
        machine.track(len(films), unit="films") as advance,
    ):
        write(header(network.classes, form=params.format))
        for part in _answered(films, judge, normalization, machine, advance):
            write(b"".join(row(answer, network.classes, form=params.format) for answer in part))
            statuses.update(answer.status for answer in part)
    frame = f"{normalization.height}x{normalization.width}"
    return Report(
        done=len(films),
        unit="films",
        set_aside={status: number for status, number in statuses.most_common() if status != "ok"},
        lines=[f"{network.network_name} of {params.model}; films by policy {normalization.policy} into {frame}"],
        written=(params.out,) if params.out else (),
    )


def _answered(
    films: Sequence[str],
    judge: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    normalization: NormalizeParams,
    machine: Machine,
    advance: Callable[..., None],
) -> Iterator[list[Answer]]:
    """Yield the answers part by part: workers run ahead of the network, and a part is all that they may fill."""
    work = partial(prepare, params=normalization)
    retry = Retry(alone=lambda job, _path: job, without=without)
    jobs = map(FilmJob, films)
    while part := list(islice(jobs, films_at_once(normalization.frame))):
        # pixels come back, against the custom: the network is here, and a film in its frame is 77 kB
        prepared = list(machine.fan_out(work, part, unit="films", retry=retry, within=advance))
        images = [film.image for film in prepared if film.image is not None]
        given = judge(np.stack(images)) if images else ()
        probabilities = iter(given)
        yield [
            Answer(readable(job.path), film.status, film.reason, next(probabilities) if film.image is not None else ())
            for job, film in zip(part, prepared, strict=True)
        ]


def films_at_once(frame: Frame) -> int:
    """Return how many films of the frame may wait for the network."""
    return max(1, min(FILMS_AT_ONCE, PIXELS_AT_ONCE // frame.pixels))


STAGE = Stage(
    "predict",
    PredictParams,
    reads=(paths.MODEL,),
    writes=(),
    run=run,
    arguments="films",
    results_to="out",
)
