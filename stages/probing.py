"""Runs the probes on a data set: what the most frequent class, the file, the border and 28 x 28 pixels tell alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests import store
from manifests.rows import AUDITED
from stages import paths
from stages.auditing.features import FILE_FEATURES
from stages.columns import numbers, ok_rows
from stages.contract import Machine, Root, StageError
from stages.scoring import Images
from stages.statistics import scores
from stages.statistics.probes import Adversary, Numbers, adversary, binned, nearest_neighbour
from stages.statistics.ridge import Features, fit_ridge, indicators

MAJORITY, METADATA, BORDER, RIDGE, NEAREST = "majority", "metadata", "border", "ridge", "nearest_neighbour"
FILE_NUMBERS: Mapping[str, Callable[[pa.Table], NDArray[np.float64]]] = {
    **FILE_FEATURES,
    "file bytes": lambda films: numbers(films.column("file_bytes")),
}


@dataclass(frozen=True, slots=True)
class Films:
    """What the probes see of each film.

    Attributes:
        labels: (films,) index of the class.
        groups: each film's patient group.
        splits: (films,) name of the split.
        pixels: (films, 784) grey levels of 28 x 28 equal parts.
        border: (films, 112) grey levels along the edges.
        file: (films, columns) `FILE_NUMBERS`, NaN where unknown; None where there is no audit.
    """

    labels: NDArray[np.int64]
    groups: Sequence[str]
    splits: NDArray[np.str_]
    pixels: Features
    border: Features
    file: Numbers | None

    def of(self, wanted: NDArray[np.bool_]) -> Films:
        """Return those of the films that are wanted."""
        groups = [group for group, is_wanted in zip(self.groups, wanted, strict=True) if is_wanted]
        file = None if self.file is None else self.file[wanted]
        return Films(self.labels[wanted], groups, self.splits[wanted], self.pixels[wanted], self.border[wanted], file)


@dataclass(frozen=True, slots=True)
class Said:
    """What a probe that learned from the training films says of all films.

    Attributes:
        predicted: (films,) index of the class.
        scores: (films, classes) highest for the class that is said; no probabilities.
        penalty: the ridge's; None where the probe has none.
    """

    predicted: NDArray[np.int64]
    scores: NDArray[np.float64]
    penalty: float | None = None


def read_films(root: Root, images: Images) -> Films:
    """Return what the probes see of normalized films, in the order of the rows.

    Raises:
        ManifestError: where a file that a row names is missing.
        StageError: where an image cannot be decoded, or the audit does not know a film.
    """
    from stages.films import codec, pooled  # noqa: PLC0415  # cv2: keep the commands light

    place = {row.path: number for number, row in enumerate(images.rows)}
    pixels = np.empty((len(place), pooled.SIDE**2), np.float32)
    border = np.empty((len(place), 4 * pooled.SIDE), np.float32)
    for row, data in images.folder.read_images(images.rows):
        try:
            image = codec.decode(data)
        except ValueError as error:
            raise StageError(f"{row.path}: {error}; run the stage that wrote it again") from error
        pixels[place[row.path]], border[place[row.path]] = pooled.cells(image), pooled.border(image)
    return Films(
        labels=images.labels,
        groups=[row.group_id or row.film_id for row in images.rows],
        splits=np.array([row.split for row in images.rows], np.str_),
        pixels=pixels,
        border=border,
        file=_file_numbers(root, images),
    )


def _file_numbers(root: Root, images: Images) -> Numbers | None:
    """Return what the audit says of each film's file; None where no audit lies beside the films."""
    manifest = root / paths.AUDIT
    if not manifest.is_file():
        return None
    audited = ok_rows(store.read_table(AUDITED, manifest))
    wanted = pa.array([row.film_id for row in images.rows], pa.string())
    place = pc.index_in(wanted, value_set=audited.column("film_id").combine_chunks())
    if place.null_count:
        unknown = images.rows[np.flatnonzero(pc.is_null(place))[0]].path
        raise StageError(
            f"{manifest}: does not know {place.null_count:,} of {len(images.rows):,} normalized films ({unknown}); "
            "run split and normalize again"
        )
    films = audited.take(place)
    return np.stack([values(films) for values in FILE_NUMBERS.values()], axis=1)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a probe may learn from.

    Attributes:
        in_train: (films,) whether a film is of train.
        labels: (training films,) index of each one's class.
        groups: each training film's patient group.
        classes: how many there are.
        seed: decides the folds by which penalties are chosen.
    """

    in_train: NDArray[np.bool_]
    labels: NDArray[np.int64]
    groups: Sequence[str]
    classes: int
    seed: int

    def majority(self) -> Said:
        """Say the most frequent class of every film."""
        return self._flat(np.full(len(self.in_train), scores.majority(self.labels, classes=self.classes)))

    def ridge(self, features: Features) -> Said:
        """Say of every film what a ridge on the features says."""
        fitted = fit_ridge(features[self.in_train], self.labels, self.groups, classes=self.classes, seed=self.seed)
        found = fitted.scores(features)
        return Said(found.argmax(axis=1), found, fitted.penalty)

    def nearest_neighbour(self, features: Features) -> Said:
        """Say of every film the class of the training film nearest to it, which for a training film is itself."""
        return self._flat(nearest_neighbour(features[self.in_train], self.labels, features))

    def _flat(self, predicted: NDArray[np.int64]) -> Said:
        return Said(predicted, indicators(predicted, classes=self.classes))


def questions(films: Films, *, classes: int, seed: int = 0) -> dict[str, Callable[[], Said]]:
    """Return each probe, ready to learn from the films of train and to name all films, in any process.

    Args:
        films: those of train among them.
        classes: how many there are.
        seed: decides the folds by which penalties are chosen.
    """
    in_train = films.splits == "train"
    train = films.of(in_train)
    lesson = Lesson(in_train, train.labels, train.groups, classes, seed)
    asked: dict[str, Callable[[], Said]] = {MAJORITY: lesson.majority}
    if films.file is not None:
        asked[METADATA] = partial(lesson.ridge, binned(films.file[in_train], films.file))
    asked[BORDER] = partial(lesson.ridge, films.border)
    asked[RIDGE] = partial(lesson.ridge, films.pixels)
    asked[NEAREST] = partial(lesson.nearest_neighbour, films.pixels)
    return asked


def adversaries(films: Films, *, classes: int, seed: int = 0) -> list[Callable[[], Adversary | None]]:
    """Return for each class what tells the test's films from train's by their 28 x 28 pixels, in any process."""
    asked: list[Callable[[], Adversary | None]] = []
    for label in range(classes):
        train, test = (films.of((films.labels == label) & (films.splits == split)) for split in ("train", "test"))
        asked.append(partial(adversary, train.pixels, train.groups, test.pixels, test.groups, seed=seed))
    return asked


def _answer(question: Callable[[], Any]) -> Any:
    return question()


def summary(root: Root, images: Images, splits: Sequence[str], machine: Machine, *, seed: int = 0) -> dict[str, Any]:
    """Return the probes' scores on each split and how far the test's films of each class are told from train's.

    Args:
        root: the project's; the audit is read where there is one.
        images: the normalized films of all splits.
        splits: those that may be scored, train among them; what is not named is not looked at.
        machine: its workers do a probe each. On one thread each, where they are processes: threads of BLAS that share
            cores with other work made the probes eight times as slow.
        seed: decides the folds.

    Raises:
        ManifestError: where a file that a row names is missing.
        StageError: where an image cannot be decoded, or the audit does not know a film.
    """
    classes = list(images.facts["classes"])
    films = read_films(root, Images(images.folder, [row for row in images.rows if row.split in splits], images.facts))
    asked = questions(films, classes=len(classes), seed=seed)
    apart = adversaries(films, classes=len(classes), seed=seed) if "test" in splits else []
    # the slow ones first, so that no worker is left with one at the end
    told = list(machine.fan_out(_answer, [*apart, *reversed(asked.values())], unit="probes"))
    said = dict(zip(reversed(asked), told[len(apart) :], strict=True))
    return {
        "models": {name: _model(films, said[name], splits, classes) for name in asked},
        "adversarial": {name: _adversary(found) for name, found in zip(classes, told, strict=False) if apart},
    }


def _model(films: Films, said: Said, splits: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    penalty = {} if said.penalty is None else {"penalty": said.penalty}
    return {**penalty, "splits": {split: _scores(films, said, split, classes) for split in splits}}


def _scores(films: Films, said: Said, split: str, classes: Sequence[str]) -> dict[str, Any]:
    of_split = films.splits == split
    table = scores.confusion(films.labels[of_split], said.predicted[of_split], classes=len(classes))
    recalls = zip(classes, scores.recalls(table), strict=True)
    return {
        "films": int(of_split.sum()),
        "accuracy": scores.accuracy(table),
        "macro_recall": scores.macro_recall(table),
        "recall": {name: recall for name, recall in recalls if recall is not None},
    }


def _adversary(found: Adversary | None) -> dict[str, float | None] | None:
    """Return it as JSON has it, rounded to what does not hang on the order of a machine's additions."""
    if found is None:
        return None
    figures = {"auc": found.auc, "low": found.low, "high": found.high, "control": found.control}
    return {name: None if figure is None else round(figure, 4) for name, figure in figures.items()}
