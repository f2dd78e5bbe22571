"""How far what is no lung tells the classes apart, in each delivered split, and what of it holds from train to test.

- By each feature of the file, of all usable films: the AUC of the class against the rest.
- By several together, of a sample of films: a ridge is fitted on four fifths of the patients and asked about the rest.
  `file`: the features in tenths of their values. `border`: 28 grey levels along each edge of the film in the frame.
  `traces`: what compression, rescaling and processing leave in its pixels (`stages.films.traces`). `scale`: how much
  the film was scaled, across and down, in tenths. `traces at equal scale`: the traces less what cubics in the scales
  explain of them, since films of other sizes keep other traces of the same compression. Fine texture may be the disease
  itself: `blocks` are those of the traces that no lung leaves.
- From train to test: the ridge of train's patients is asked about the test. What train teaches and the test does not
  bear out is what a network fails on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.auditing import findings
from stages.auditing.features import FILE_FEATURES
from stages.auditing.figures import UNDELIVERED, by_split, judged_classes, nested, patients_of
from stages.auditing.sample import Sample
from stages.films.traces import BLOCKS
from stages.statistics.probes import Adversary, adversary, binned
from stages.statistics.ridge import Features
from stages.statistics.tells import Drop, Tell, cross_told, drop, tell, transferred, without

TellsOf = dict[str, Tell]  # by class


@dataclass(frozen=True, slots=True)
class Sampled:
    """Films of the sample, and what is known of them.

    Attributes:
        films: their rows.
        kept: a SPECIMEN of each.
        labels: (films,) index of the class.
        patients: (films,) a number for each patient.
    """

    films: pa.Table
    kept: NDArray[np.void]
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]

    @property
    def file(self) -> NDArray[np.float64]:
        """The features of their files, NaN where unknown."""
        return np.stack([values(self.films) for values in FILE_FEATURES.values()], axis=1)

    def where(self, wanted: NDArray[np.bool_]) -> Sampled:
        """Return those of the films that are wanted."""
        films = self.films.filter(pa.array(wanted))
        return Sampled(films, self.kept[wanted], self.labels[wanted], self.patients[wanted])


# What a ridge sees of films, once another set of films is known: bins and cubics are made from those.
SOURCES: Mapping[str, Callable[[Sampled, Sampled], Features]] = {
    "file": lambda known, films: binned(known.file, films.file),
    "border": lambda _known, films: films.kept["border"],
    "traces": lambda _known, films: films.kept["traces"],
    "blocks": lambda _known, films: films.kept["traces"][:, BLOCKS],
    "scale": lambda known, films: binned(known.kept["scale"], films.kept["scale"]),
    "traces at equal scale": lambda known, films: without(
        films.kept["scale"],
        films.kept["traces"],
        known=known.kept["scale"],
        of_known=known.kept["traces"],
    ),
}
SHIFTS = ("file", "border", "traces", "pixels")


def shortcuts(films: pa.Table, sample: Sample) -> dict[str, Any]:
    """Return what tells the classes apart, in each split and from train to test, and what tells train from test."""
    features = {split: _features(of_split) for split, of_split in by_split(films).items()}
    looked = looked_at(films, sample)
    judged = judged_classes(films)
    told = {
        "features": {split: _as_json(found) for split, found in features.items()},
        "feature_drops": _as_json(_feature_drops(features.get("train", {}), features.get("test", {}))),
        "sample": nested(looked.films, len),
        "joint": joint(looked, judged) if len(looked.films) else {},
    }
    by_class = shift(looked, judged) if len(looked.films) else {}
    return {
        "shortcuts": {**told, "said": findings.of_shortcuts(told)},
        "shift": {"by_class": by_class, "said": findings.of_shift(by_class)},
    }


def looked_at(films: pa.Table, sample: Sample) -> Sampled:
    """Return the usable films of the sample whose traces are known."""
    some, kept = sample.of(films)
    known = ~np.isnan(kept["traces"]).any(axis=1)
    some, kept = some.filter(pa.array(known)), kept[known]
    return Sampled(some, kept, some.column("label_index").to_numpy().astype(np.int64), patients_of(some))


def joint(looked: Sampled, judged: Mapping[str, int]) -> dict[str, Any]:
    """Return how well each source tells each class: within splits, from train to test, and how far it falls."""
    splits = _splits(looked)
    found: dict[str, Any] = {}
    for source, seen in SOURCES.items():
        within = {split: _within(seen, some, judged) for split, some in splits.items()}
        moved = _transfer(seen, splits, judged) if {"train", "test"} <= set(splits) else {}
        found[source] = {
            "within": {split: {name: one.as_json() for name, one in told.items()} for split, told in within.items()},
            "transfer": {name: one.as_json() for name, one in moved.items()},
            "drop": {
                name: drop(before, moved[name]).as_json()
                for name, before in within.get("train", {}).items()
                if name in moved
            },
        }
    return found


def _within(seen: Callable[[Sampled, Sampled], Features], films: Sampled, judged: Mapping[str, int]) -> TellsOf:
    def once_known(known: NDArray[np.bool_]) -> Features:
        return seen(films.where(known), films)

    return cross_told(once_known, films.labels, films.patients, judged)


def _transfer(
    seen: Callable[[Sampled, Sampled], Features], splits: Mapping[str, Sampled], judged: Mapping[str, int]
) -> TellsOf:
    train, test = splits["train"], splits["test"]
    return transferred(
        (seen(train, train), train.labels, train.patients), (seen(train, test), test.labels, test.patients), judged
    )


def shift(looked: Sampled, judged: Mapping[str, int]) -> dict[str, Any]:
    """Return for each class how well its films of the test are told from its films of train, by each source."""
    splits = _splits(looked)
    if not {"train", "test"} <= set(splits):
        return {}
    found: dict[str, Any] = {}
    for name, index in judged.items():
        train, test = (splits[split].where(splits[split].labels == index) for split in ("train", "test"))
        if min(len(train.labels), len(test.labels)) == 0:
            continue
        told = {source: _apart(source, train, test) for source in SHIFTS}
        if known := {source: one for source, one in told.items() if one is not None}:
            found[name] = {
                "films": {"train": len(train.labels), "test": len(test.labels)},
                **{source: _adversary(one) for source, one in known.items()},
            }
    return found


def _apart(source: str, train: Sampled, test: Sampled) -> Adversary | None:
    if source == "file":
        both = np.concatenate([train.file, test.file])
        sides = [binned(both, films.file) for films in (train, test)]
    else:
        sides = [films.kept[source].astype(np.float64) for films in (train, test)]
    groups = [[str(one) for one in films.patients.tolist()] for films in (train, test)]
    return adversary(sides[0], groups[0], sides[1], groups[1])


def _splits(looked: Sampled) -> dict[str, Sampled]:
    names = np.array(looked.films.column("delivered_split").fill_null(UNDELIVERED).to_pylist(), np.str_)
    return {split: looked.where(names == split) for split in by_split(looked.films)}


def _features(films: pa.Table) -> dict[str, TellsOf]:
    """Return how well each feature of the file alone tells each class from the rest."""
    label, patients, judged = films.column("label_index").to_numpy(), patients_of(films), judged_classes(films)
    found: dict[str, TellsOf] = {}
    for feature, values in FILE_FEATURES.items():
        asked = partial(tell, values(films), patients=patients)
        told = {name: asked(positives=label == index) for name, index in judged.items()}
        if known := {name: one for name, one in told.items() if one is not None}:
            found[feature] = known
    return found


def _feature_drops(train: Mapping[str, TellsOf], test: Mapping[str, TellsOf]) -> dict[str, dict[str, Drop]]:
    """Return how much worse each feature tells in the test, told as in train: by more of it, or by less."""
    return {
        feature: {
            name: drop(before, after) if before.auc >= 0.5 else drop(before.flipped, after.flipped)
            for name, before in of_class.items()
            if (after := test.get(feature, {}).get(name)) is not None
        }
        for feature, of_class in train.items()
    }


def _as_json(found: Mapping[str, Mapping[str, Tell | Drop]]) -> dict[str, dict[str, Any]]:
    return {key: {name: one.as_json() for name, one in of_class.items()} for key, of_class in found.items()}


def _adversary(found: Adversary) -> dict[str, float | None]:
    """Return it rounded as tells are."""
    numbers = {"auc": found.auc, "low": found.low, "high": found.high, "control": found.control}
    return {name: None if number is None else round(number, 4) for name, number in numbers.items()}
