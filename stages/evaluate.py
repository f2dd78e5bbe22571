"""Evaluate: score the network on films it has and has not seen, with intervals, and say what lies between."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from manifests import store
from manifests.rows import NORMALIZED, PREDICTIONS, SPLITS, FilmRow, PredictionRow
from stages import paths
from stages.contract import Machine, Params, Report, Root, Stage
from stages.peeks import note_peek
from stages.reporting import text
from stages.scoring import Images, Judge, Probabilities, choose_splits, read_images, require_fit
from stages.statistics.bootstrap import FilmSet, find_patients
from stages.statistics.summary import AUGMENTED, summarize_sets

if TYPE_CHECKING:
    from stages.learning.checkpoint import Checkpoint

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for a formula


class EvaluateParams(Params):
    """What is scored, and how its intervals are drawn."""

    split: Literal["all", "train", "leak_probe", "val", "test"] = Field(
        "all", description="Which split to score; the training films always are, since the gap starts from them."
    )
    draws: int = Field(10_000, ge=100, description="How often the patients are redrawn for the intervals.")
    seed: int = Field(0, ge=0, lt=2**64, description="Decides which patients each draw holds.")


def summarize(
    sets: Mapping[str, Images],
    probabilities: Mapping[str, Probabilities],
    films: Images,
    params: EvaluateParams,
) -> dict[str, Any]:
    """Return the scores, intervals and gaps of what was scored.

    Args:
        sets: splits, and the augmented images.
        probabilities: of each set.
        films: those of all splits, scored or not: with whom a patient is redrawn must not depend on what else is
            scored, so that a split's interval is the same whichever splits are asked for.
        params: how the intervals are drawn.
    """
    everyone = [*films.rows, *(row for images in sets.values() for row in images.rows)]
    patients = find_patients(
        [row.group_id or row.film_id for row in everyone],
        np.array([row.label_index for row in everyone], np.int64),
        np.array([SPLITS.index(row.split) for row in everyone if row.split is not None], np.int64),
    )
    film_sets, start = {}, len(films.rows)
    for name, images in sets.items():
        of_set = patients.of_film[start : start + len(images.rows)]
        film_sets[name] = FilmSet(of_set, images.labels, probabilities[name].argmax(axis=1))
        start += len(images.rows)
    classes = list(films.facts["classes"])
    return summarize_sets(film_sets, patients, classes, draws=params.draws, seed=params.seed)


def predictions(images: Images, probabilities: Probabilities) -> list[PredictionRow]:
    """Return a row for each film with what the network says of it."""
    classes = images.facts["classes"]
    return [
        PredictionRow(
            **{field.name: getattr(row, field.name) for field in fields(FilmRow)},
            predicted=classes[said],
            predicted_index=said,
            correct=said == row.label_index,
            probabilities=of_film.tolist(),
        )
        for row, said, of_film in zip(images.rows, probabilities.argmax(axis=1).tolist(), probabilities, strict=True)
    ]


def confusion_csv(rows: Sequence[PredictionRow]) -> bytes:
    """Return the films' true and predicted classes as `dvc plots` reads them for its confusion template.

    A class that begins as a formula does gets an apostrophe before it, so that no spreadsheet runs it.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["actual", "predicted"])
    writer.writerows([_as_text(row.label or ""), _as_text(row.predicted)] for row in rows)
    return table.getvalue().encode()


def _as_text(name: str) -> str:
    return f"'{name}" if name.startswith(FORMULA_STARTS) else name


def headline(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the few figures that `dvc metrics` tables: accuracies, their intervals, and the gaps to train."""
    figures: dict[str, float] = {}
    for split, found in summary["splits"].items():
        figures[split] = found["accuracy"]
        if split != "train":
            figures |= {f"{split}_low": found["accuracy_low"], f"{split}_high": found["accuracy_high"]}
    gaps = {f"train_minus_{split}" for split in summary["splits"]}
    return figures | {pair: gap["difference"] for pair, gap in summary["gap"].items() if pair in gaps}


def lines(summary: Mapping[str, Any], classes: Sequence[str], empty: Sequence[str]) -> list[str]:
    """Return what the terminal shows: a row per split, a line per gap, and what was not scored."""
    table = [["split", "films", "patients", "accuracy", "95 % interval", "macro recall", *classes]]
    for split, found in summary["splits"].items():
        table.append(
            [
                split,
                text.count(found["films"]),
                text.count(found["patients"]),
                text.percent(found["accuracy"]),
                text.percent_range(found["accuracy_low"], found["accuracy_high"]),
                text.percent(found["macro_recall"]),
                *(text.percent(found["recall"].get(name)) for name in classes),
            ]
        )
    shown = text.aligned(table)
    for pair, gap in summary["gap"].items():
        left, right = pair.split("_minus_")
        between = text.points_range(gap["low"], gap["high"])
        shown.append(f"{left} - {right}: {text.points(gap['difference'])} points {between}")
    if empty:
        shown.append(f"not scored, having no films: {', '.join(empty)}")
    if "test_peeks" in summary:
        shown.append(f"looks at the test films so far: {summary['test_peeks']:,} ({paths.TEST_PEEKS})")
    return shown


def run(params: EvaluateParams, root: Root, machine: Machine) -> Report:
    """Score the films, and the augmented images where train is asked for; write predictions, figures and page."""
    from stages.drawn import AUGMENTED as AUGMENTED_ROWS  # noqa: PLC0415  # cv2
    from stages.learning import checkpoint, loop  # noqa: PLC0415  # torch

    films = read_images(root, paths.NORMALIZED, NORMALIZED)
    splits, empty = choose_splits(films.rows, params.split, where=paths.NORMALIZED_MANIFEST)
    sets = {split: films.of(split) for split in splits}
    if params.split in ("all", "train"):
        sets[AUGMENTED] = read_images(root, paths.AUGMENTED, AUGMENTED_ROWS)
    device = loop.device_for(machine.device)
    network = checkpoint.load(root / paths.MODEL, device)
    for images in sets.values():
        require_fit(network, images, model=paths.MODEL)
    with machine.track(sum(len(images.rows) for images in sets.values()), unit="images") as advance:
        judge = Judge(network, device, advance)
        probabilities = {name: judge.score(images) for name, images in sets.items()}
    summary = summarize(sets, probabilities, films, params)
    if "test" in splits:
        summary["test_peeks"] = note_peek(root / paths.TEST_PEEKS, store.file_sha256(root / paths.MODEL), params)
    of_split = {split: predictions(sets[split], probabilities[split]) for split in splits}
    _write(summary, of_split, _Origin(root, params, network, films.facts["classes"]))
    return Report(
        done=sum(len(images.rows) for images in sets.values()),
        unit="images",
        lines=lines(summary, films.facts["classes"], empty),
        written=(paths.EVALUATION_PAGE, paths.EVALUATION_SUMMARY, paths.PREDICTIONS),
    )


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the figures come from."""

    root: Root
    params: EvaluateParams
    network: Checkpoint
    classes: list[str]

    def footer(self) -> store.Footer:
        """Return what the predictions' manifest says of itself."""
        read = (paths.NORMALIZED_MANIFEST, paths.MODEL)
        return store.Footer(
            params=self.params.model_dump(mode="json"),
            sources={name: store.file_sha256(self.root / name) for name in read},
            facts={"classes": self.classes},
        )

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return what the page's end tells of how it came to be."""
        libraries = {name: version(name) for name in ("numpy", "torch", "pyarrow")}
        return {
            "Network": {
                "name": self.network.network_name,
                "sha256 of its file": store.file_sha256(self.root / paths.MODEL),
                **self.network.facts,
            },
            "Parameters": self.params.model_dump(mode="json"),
            "Versions": {
                "cxr-pipeline": store.TOOL_VERSION,
                "Python": platform.python_version(),
                **libraries,
            },
        }


def _write(summary: Mapping[str, Any], of_split: Mapping[str, list[PredictionRow]], origin: _Origin) -> None:
    """Write the predictions of every split, the figures, the page, and the table for `dvc plots`."""
    from stages.reporting import page  # noqa: PLC0415  # jinja2 and matplotlib

    root = origin.root
    rows = [row for rows in of_split.values() for row in rows]
    store.write(rows, PREDICTIONS, root / paths.PREDICTIONS, origin.footer())
    store.write_json(root / paths.EVALUATION_SUMMARY, summary)
    store.write_json(root / paths.METRICS, headline(summary))
    html = page.evaluation_page(summary, classes=origin.classes, facts=origin.facts())
    store.write_bytes(root / paths.EVALUATION_PAGE, html.encode())
    store.write_bytes(root / paths.CONFUSION, confusion_csv(list(of_split.values())[-1]))


STAGE = Stage(
    "evaluate",
    EvaluateParams,
    reads=(paths.MODEL, paths.NORMALIZED, paths.AUGMENTED),
    writes=(paths.PREDICTIONS, paths.EVALUATION_SUMMARY, paths.EVALUATION_PAGE, paths.METRICS, paths.CONFUSION),
    run=run,
)
