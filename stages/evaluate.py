"""evaluate: score networks on films they have and have not seen, and take the gap between them apart."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from manifests import store
from manifests.rows import NORMALIZED, PREDICTIONS, FilmRow, PredictionRow
from stages import evaluation_report, evaluation_schema, paths, probe_summary, probing
from stages.contract import Machine, Params, Report, Root, Stage
from stages.evaluation_details import details
from stages.gallery import thumbnails
from stages.judgement import summarize
from stages.leaks import how_divided
from stages.peeks import note_peeks
from stages.scoring import Images, Judge, Probabilities, choose_splits, find_models, read_images, require_fit
from stages.statistics.gap import AUGMENTED, TEST, VAL

if TYPE_CHECKING:
    from stages.learning.checkpoint import Checkpoint


class EvaluateParams(Params):
    """What is scored, and how its intervals are drawn."""

    split: Literal["all", "train", "leak_probe", "val", "test"] = Field(
        "all",
        description="Which split to score, with those that its gap to train is taken apart by: test takes all.",
    )
    models: str = Field(
        "",
        description="Which models to score, as a pattern under the root such as models/seed-*.safetensors; "
        f"empty: {paths.MODEL} alone.",
    )
    draws: int = Field(10_000, ge=100, description="How often the patients are redrawn for the intervals.")
    seed: int = Field(
        0, ge=0, lt=2**64, description="Decides which patients each draw holds, and into which halves the test falls."
    )

    @field_validator("models")
    @classmethod
    def _finds_files_under_the_root(cls, pattern: str) -> str:
        parts = PurePosixPath(pattern).parts
        expected = "expected a pattern under the root, such as models/seed-*.safetensors"
        if pattern.startswith("/") or ".." in parts:
            raise ValueError(f"leads out of the root; {expected}")
        if pattern and not parts:
            raise ValueError(f"names no file; {expected}")
        if any("**" in part and part != "**" for part in parts):
            raise ValueError(f"holds ** beside other letters, where it means any folders; {expected}")
        return pattern


def predictions(images: Images, probabilities: Probabilities, model: str) -> list[PredictionRow]:
    """Return a row for each film with what a model says of it."""
    classes = images.facts["classes"]
    return [
        PredictionRow(
            **{field.name: getattr(row, field.name) for field in fields(FilmRow)},
            model=model,
            predicted=classes[said],
            predicted_index=said,
            correct=said == row.label_index,
            probabilities=of_film.tolist(),
        )
        for row, said, of_film in zip(images.rows, probabilities.argmax(axis=1).tolist(), probabilities, strict=True)
    ]


def run(params: EvaluateParams, root: Root, machine: Machine) -> Report:
    """Score the films, and the augmented images where a gap begins with them; write predictions, figures and page."""
    films = read_images(root, paths.NORMALIZED, NORMALIZED)
    sets, empty = _sets(params, root, films)
    networks = _networks(params, root, sets, machine)
    said = _score(networks, sets, machine)
    sha256 = {name: store.file_sha256(root / name) for name in networks}
    origin = _Origin(root, params, networks, films.facts["classes"], sha256, how_divided(films.facts))
    peeks = {}
    if TEST in sets:  # before anything that its labels tell is worked out, let alone shown
        peeks = {"test_peeks": note_peeks(root / paths.TEST_PEEKS, list(origin.sha256.values()), params)}
    summary = {**_summarize(origin, machine, films, sets, said), **peeks}
    rows = {
        split: [row for model, found in said.items() for row in predictions(sets[split], found[split], model)]
        for split in summary["splits"]
    }
    _write(summary, rows, thumbnails(sets, summary["gallery"]), origin)
    return Report(
        done=len(networks) * sum(len(images.rows) for images in sets.values()),
        unit="images",
        lines=evaluation_report.lines(summary, origin.classes, empty, split=params.split),
        written=(paths.EVALUATION_PAGE, paths.EVALUATION_SUMMARY, paths.PREDICTIONS),
    )


def _summarize(
    origin: _Origin,
    machine: Machine,
    films: Images,
    sets: Mapping[str, Images],
    said: Mapping[str, Mapping[str, Probabilities]],
) -> dict[str, Any]:
    """Return what `reports/evaluation.json` holds, but for how often the test was looked at."""
    draws, seed = origin.params.draws, origin.params.seed
    summary = {
        "version": evaluation_schema.VERSION,
        **summarize(sets, said, films, draws=draws, seed=seed),
        **details(origin.root, sets, said, origin.classes, draws=draws, seed=seed),
        "split_arms": origin.split,
    }
    for name, of_model in summary["models"].items():
        of_model["sha256"] = origin.sha256[name]
    summary["probes"] = probing.summary(origin.root, films, list(summary["splits"]), machine, seed=seed)
    said_of_val = summary["splits"].get(VAL, {}).get("accuracy")
    summary["callout"] = probe_summary.callout(said_of_val, summary["probes"])
    return summary


def _sets(params: EvaluateParams, root: Root, films: Images) -> tuple[dict[str, Images], list[str]]:
    """Return what to score, in the order of the gap's steps, and the splits that were asked for and have no films."""
    from stages.drawn import AUGMENTED as AUGMENTED_ROWS  # noqa: PLC0415  # cv2

    splits, empty = choose_splits(films.rows, params.split, where=paths.NORMALIZED_MANIFEST)
    sets = {}
    if params.split in ("all", "train", "test"):
        sets[AUGMENTED] = read_images(root, paths.AUGMENTED, AUGMENTED_ROWS, shared=True)
    return sets | {split: films.of(split) for split in splits}, empty


def _networks(
    params: EvaluateParams, root: Root, sets: Mapping[str, Images], machine: Machine
) -> dict[str, Checkpoint]:
    """Return the networks by their files, each made for such images: none is scored where one cannot be."""
    from stages.learning import checkpoint, devices  # noqa: PLC0415  # torch

    device = devices.device_for(machine.device)
    networks = {name: checkpoint.load(root / name, device) for name in find_models(root, params.models)}
    for name, network in networks.items():
        for images in sets.values():
            require_fit(network, images, model=name)
    return networks


def _score(
    networks: Mapping[str, Checkpoint], sets: Mapping[str, Images], machine: Machine
) -> dict[str, dict[str, Probabilities]]:
    """Return the probabilities that each network gives each set."""
    from stages.learning import devices  # noqa: PLC0415  # torch

    device = devices.device_for(machine.device)
    images = len(networks) * sum(len(of_set.rows) for of_set in sets.values())
    with machine.track(images, unit="images") as advance:
        return {
            name: {films: Judge(network, device, advance).score(of_set) for films, of_set in sets.items()}
            for name, network in networks.items()
        }


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the figures come from.

    Attributes:
        root: the data set's.
        params: of the run.
        networks: by their files.
        classes: in the order of `label_index`.
        sha256: of the networks' files.
        split: what was drawn when the films were divided, and how val was held out (`how_divided`).
    """

    root: Root
    params: EvaluateParams
    networks: Mapping[str, Checkpoint]
    classes: list[str]
    sha256: Mapping[str, str]
    split: Mapping[str, str]

    def footer(self) -> store.Footer:
        """Return what the predictions' manifest says of itself."""
        manifest = paths.NORMALIZED_MANIFEST
        return store.Footer(
            params=self.params.model_dump(mode="json"),
            sources={manifest: store.file_sha256(self.root / manifest), **self.sha256},
            facts={"classes": self.classes, **self.split},
        )

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return what the page's end tells of how it came to be."""
        libraries = {name: version(name) for name in ("numpy", "torch", "pyarrow")}
        networks = {
            f"Network {name}": {
                "name": network.network_name,
                "sha256 of its file": self.sha256[name],
                **network.facts,
            }
            for name, network in self.networks.items()
        }
        return {
            **networks,
            "Parameters": self.params.model_dump(mode="json"),
            "Versions": {
                "cxr-pipeline": store.TOOL_VERSION,
                "Python": platform.python_version(),
                **libraries,
            },
        }


def _write(
    summary: Mapping[str, Any],
    of_split: Mapping[str, list[PredictionRow]],
    shown: Mapping[str, str],
    origin: _Origin,
) -> None:
    """Write the predictions of every split, the figures, the page, and the tables for `dvc plots`."""
    from stages.reporting.evaluation_page import evaluation_page  # noqa: PLC0415  # jinja2 and matplotlib

    root = origin.root
    rows = [row for rows in of_split.values() for row in rows]
    store.write(rows, PREDICTIONS, root / paths.PREDICTIONS, origin.footer())
    store.write_json(root / paths.EVALUATION_SUMMARY, summary)
    store.write_json(root / paths.METRICS, evaluation_report.headline(summary))
    html = evaluation_page(summary, classes=origin.classes, facts=origin.facts(), thumbnails=shown)
    store.write_bytes(root / paths.EVALUATION_PAGE, html.encode())
    store.write_bytes(root / paths.GAP, evaluation_report.gap_csv(summary["gap"]))
    last = list(of_split)[-1]
    store.write_bytes(root / paths.CONFUSION, evaluation_report.confusion_csv(of_split[last]))
    store.write_bytes(root / paths.RELIABILITY, evaluation_report.reliability_csv(summary["reliability"][last]))


STAGE = Stage(
    "evaluate",
    EvaluateParams,
    reads=(paths.MODEL, paths.AUDIT, paths.NORMALIZED, paths.AUGMENTED),
    writes=(
        paths.PREDICTIONS,
        paths.EVALUATION_SUMMARY,
        paths.EVALUATION_PAGE,
        paths.METRICS,
        paths.GAP,
        paths.CONFUSION,
        paths.RELIABILITY,
    ),
    run=run,
)
