"""Evaluated runs: what models said of films, found in folders, in files, and in revisions and experiments of DVC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa

from manifests import store
from manifests.checks import ManifestError
from manifests.objects import ObjectPath
from manifests.places import AnyPath, place_of
from manifests.rows import PREDICTIONS
from stages import paths
from stages.contract import Root, StageError
from stages.leaks import how_divided


class Answer(NamedTuple):
    """A film's class and patient, and the class that a model gave it."""

    label: str
    patient: str
    predicted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedRun:
    """What one model said of the films of one split.

    Attributes:
        name: as the user called it, with the model's name behind it where the run has several.
        model_sha256: of the network's file; None where the predictions do not tell.
        classes: in the order of `label_index`.
        split: what was drawn when the films were divided, and how val was held out.
        answers: by film_id.
    """

    name: str
    model_sha256: str | None
    classes: tuple[str, ...]
    split: Mapping[str, str]
    answers: Mapping[str, Answer]


def read_runs(name: str, root: Root, split: str) -> list[EvaluatedRun]:
    """Return the runs that a name stands for: one for each model that its predictions know.

    Raises:
        StageError: where there are no predictions of that name, none that can be read, or none of the split.
    """
    with _predictions_of(name, root) as path:
        try:
            table, footer = store.read_table(PREDICTIONS, path), store.read_footer(path)
        except ManifestError as error:
            raise StageError(f"{name}: its predictions cannot be used: {error}") from error
    return runs_of(table, footer, name=name, split=split)


def runs_of(table: pa.Table, footer: store.Footer, *, name: str, split: str) -> list[EvaluatedRun]:
    """Return the runs that a manifest of predictions holds, one for each model, by what it says of a split's films.

    Raises:
        StageError: where it says nothing of them, or something that no evaluation says.
    """
    answers = _answers(table, split, classes=set(footer.facts["classes"]), name=name)
    if not answers or not all(answers.values()):
        found = ", ".join(sorted({str(each) for each in table.column("split").to_pylist()}))
        raise StageError(
            f"{name}: holds no predictions of split {split} (found: {found or 'none'}); "
            f"run `cxr-pipeline evaluate --split {split}` there"
        )
    called = _called(name, list(answers))
    return [
        EvaluatedRun(
            name=called[model],
            model_sha256=footer.sources.get(model),
            classes=tuple(footer.facts["classes"]),
            split=how_divided(footer.facts),
            answers=of_model,
        )
        for model, of_model in answers.items()
    ]


def _answers(table: pa.Table, split: str, *, classes: set[str], name: str) -> dict[str, dict[str, Answer]]:
    """Return what each model says of each film of a split.

    Raises:
        StageError: where a film comes twice, or its classes are none of the footer's.
    """
    models = table.column("model").to_pylist()
    answers: dict[str, dict[str, Answer]] = {model: {} for model in sorted(set(models))}
    for model, film, of_split, *label_patient_predicted in zip(models, *_columns(table), strict=True):
        if of_split != split:
            continue
        answer = Answer(*label_patient_predicted)
        if film in answers[model]:
            raise StageError(f"{name}: film {film[:12]} comes twice; expected each film once; run evaluate again")
        if not {answer.label, answer.predicted} <= classes:
            raise StageError(
                f"{name}: film {film[:12]} has the classes {answer.label} and {answer.predicted}; "
                f"expected two of {', '.join(sorted(classes))}; run evaluate again"
            )
        answers[model][film] = answer
    return answers


def _columns(table: pa.Table) -> list[list[str]]:
    """Return each row's film, split and the parts of its `Answer`, as columns; a film without a group is a patient."""
    films, groups = table.column("film_id").to_pylist(), table.column("group_id").to_pylist()
    patients = [group or film for group, film in zip(groups, films, strict=True)]
    labels, predicted = (table.column(name).to_pylist() for name in ("label", "predicted"))
    return [films, table.column("split").to_pylist(), labels, patients, predicted]


def _called(name: str, models: Sequence[str]) -> dict[str, str]:
    """Return what to call each model of a run: by its file's name where there are several, whole where two share it."""
    if len(models) == 1:
        return {models[0]: name}
    stems = [PurePosixPath(model).stem for model in models]
    short = len(set(stems)) == len(stems)
    return {model: f"{name}:{stem if short else model}" for model, stem in zip(models, stems, strict=True)}


@contextmanager
def _predictions_of(name: str, root: Root) -> Iterator[AnyPath]:
    """Yield a file with the predictions of a name: a file, a folder, or a revision or experiment of DVC, in this order.

    Raises:
        StageError: where it is none of them.
    """
    named = place_of(name)
    places = (named, named / PurePosixPath(paths.PREDICTIONS).name, named / paths.PREDICTIONS)
    found = next((place for place in places if place.is_file()), None)
    if found is not None:
        yield found
        return
    data = _from_dvc(name, root)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / Path(paths.PREDICTIONS).name
        copy.write_bytes(data)
        yield copy


def _from_dvc(name: str, root: Root) -> bytes:
    """Return the predictions that DVC or Git keeps for a revision or an experiment of the root's repository."""
    if isinstance(root, ObjectPath) or "://" in name:
        raise StageError(
            f"{name}: no evaluated run: there is no {name}/{paths.PREDICTIONS}; DVC is asked of folders alone"
        )
    here = root.resolve()
    repository = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)
    wanted = f"{name}: no evaluated run: there is no {Path(name) / paths.PREDICTIONS}"
    if repository is None:
        raise StageError(f"{wanted}, and {root} lies in no Git repository whose revisions could be asked; expected one")
    import dvc.api  # noqa: PLC0415 - slow to load, and folders do without
    from dvc.exceptions import DvcException  # noqa: PLC0415 - as above

    path = (here.relative_to(repository) / paths.PREDICTIONS).as_posix()
    try:
        data: bytes = dvc.api.read(path, repo=str(repository), rev=name, mode="rb")
    except (DvcException, OSError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise StageError(
            f"{wanted}, and DVC has no {path} of a revision or experiment '{name}' ({why}); "
            "`dvc exp show` lists the experiments, `dvc fetch` brings what lies elsewhere"
        ) from error
    return data
