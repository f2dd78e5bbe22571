"""Runs the probes on a data set: what the most frequent class, the file, the border and 28 x 28 pixels tell alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests import store
from manifests.rows import AUDITED, AuditedRow
from stages import paths
from stages.audit_summary import FILE_FEATURES
from stages.contract import Root, StageError
from stages.reporting import text
from stages.scoring import Images
from stages.statistics import scores
from stages.statistics.probes import Adversary, Numbers, adversary, binned, nearest_neighbour
from stages.statistics.ridge import Features, fit_ridge, indicators

MAJORITY, METADATA, BORDER, RIDGE, NEAREST = "majority", "metadata", "border", "ridge", "nearest_neighbour"
SHORTCUT = 0.10  # a probe of what is no lung is pointed at where it beats the most frequent class by so much
SHIFTED = 0.70  # an AUC of train against test from which a class is pointed at
FILE_NUMBERS: Mapping[str, Callable[[AuditedRow], float | None]] = {
    **FILE_FEATURES,
    "file bytes": lambda row: row.file_bytes,
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


def read_films(root: Root, images: Images, advance: Callable[..., None] = lambda *_done: None) -> Films:
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
        pixels[place[row.path]], border[place[row.path]] = pooled.thumbnail(image), pooled.border(image)
        advance(1)
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
    audited = {row.film_id: row for row in store.read(AUDITED, manifest) if row.status == "ok"}
    unknown = [row.path for row in images.rows if row.film_id not in audited]
    if unknown:
        raise StageError(
            f"{manifest}: does not know {len(unknown):,} of {len(images.rows):,} normalized films ({unknown[0]}); "
            "run split and normalize again"
        )
    rows = [audited[row.film_id] for row in images.rows]
    numbers = [[value(row) for value in FILE_NUMBERS.values()] for row in rows]
    return np.array(numbers, np.float64)  # None becomes NaN


def probe(films: Films, *, classes: int, seed: int = 0) -> dict[str, Said]:
    """Return what each probe says of all films, having learned from those of train.

    Args:
        films: those of train among them.
        classes: how many there are.
        seed: decides the folds by which penalties are chosen.
    """
    in_train = films.splits == "train"
    train = films.of(in_train)

    def ridge(features: Features) -> Said:
        fitted = fit_ridge(features[in_train], train.labels, train.groups, classes=classes, seed=seed)
        found = fitted.scores(features)
        return Said(found.argmax(axis=1), found, fitted.penalty)

    def flat(predicted: NDArray[np.int64]) -> Said:
        return Said(predicted, indicators(predicted, classes=classes))

    said = {MAJORITY: flat(np.full(len(films.labels), scores.majority(train.labels, classes=classes)))}
    if films.file is not None and train.file is not None:
        said[METADATA] = ridge(binned(train.file, films.file))
    said[BORDER] = ridge(films.border)
    said[RIDGE] = ridge(films.pixels)
    said[NEAREST] = flat(nearest_neighbour(train.pixels, train.labels, films.pixels))
    return said


def tell_apart(films: Films, *, classes: int, seed: int = 0) -> list[Adversary | None]:
    """Return for each class how well the test's films are told from train's by their 28 x 28 pixels."""
    found = []
    for label in range(classes):
        train, test = (films.of((films.labels == label) & (films.splits == split)) for split in ("train", "test"))
        found.append(adversary(train.pixels, train.groups, test.pixels, test.groups, seed=seed))
    return found


def summary(
    root: Root,
    images: Images,
    splits: Sequence[str],
    *,
    seed: int = 0,
    advance: Callable[..., None] = lambda *_done: None,
) -> dict[str, Any]:
    """Return the probes' scores on each split and how far the test's films of each class are told from train's.

    Args:
        root: the project's; the audit is read where there is one.
        images: the normalized films of all splits.
        splits: those that may be scored, train among them; what is not named is not looked at.
        seed: decides the folds.
        advance: is told of each film that is read.

    Raises:
        ManifestError: where a file that a row names is missing.
        StageError: where an image cannot be decoded, or the audit does not know a film.
    """
    classes = list(images.facts["classes"])
    wanted = Images(images.folder, [row for row in images.rows if row.split in splits], images.facts)
    films = read_films(root, wanted, advance)
    models = {}
    for name, said in probe(films, classes=len(classes), seed=seed).items():
        of_splits = {split: _scores(films, said, split, classes) for split in splits}
        models[name] = {"splits": of_splits, **({} if said.penalty is None else {"penalty": said.penalty})}
    apart = tell_apart(films, classes=len(classes), seed=seed) if "test" in splits else []
    adversarial = {name: _adversary(found) for name, found in zip(classes, apart, strict=False)}
    return {"models": models, "adversarial": adversarial}


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
    numbers = {"auc": found.auc, "low": found.low, "high": found.high, "control": found.control}
    return {name: None if number is None else round(number, 4) for name, number in numbers.items()}


def callout(network_val_accuracy: float | None, probes: Mapping[str, Any]) -> str | None:
    """Return the sentence that says so where the network does not beat the ridge on val, else None.

    Args:
        network_val_accuracy: None where val was not scored.
        probes: what `summary` returned.
    """
    ridge = _accuracy(probes, RIDGE, "val")
    if network_val_accuracy is None or ridge is None or network_val_accuracy > ridge:
        return None
    network = text.percent(network_val_accuracy)
    return f"the network does not beat the ridge on val: {network} against {text.percent(ridge)}"


def lines(probes: Mapping[str, Any], splits: Sequence[str]) -> list[str]:
    """Return what the terminal shows: accuracies by probe and split, AUCs by class, and what they mean."""
    table = [["accuracy", *splits]]
    table += [
        [_spoken(name), *(text.percent(_accuracy(probes, name, split)) for split in splits)]
        for name in probes["models"]
    ]
    shown = text.aligned(table)
    if probes["adversarial"]:
        told = [["train against test", "AUC", "95 % interval", "within train"]]
        for name, found in probes["adversarial"].items():
            known = found or {}
            ends = f"[{text.number(known['low'])}, {text.number(known['high'])}]" if known else text.UNKNOWN
            told.append([name, text.number(known.get("auc")), ends, text.number(known.get("control"))])
        shown += text.aligned(told)
    return shown + meaning(probes, splits)


def meaning(probes: Mapping[str, Any], splits: Sequence[str]) -> list[str]:
    """Return in sentences what the figures mean for whoever trains a network on these films."""
    held_out = [split for split in ("val", "test") if split in splits] or list(splits)[:1]
    said = [_shortcut(probes, name, held_out) for name in (METADATA, BORDER)]
    shifted = {
        name: found["auc"]
        for name, found in probes["adversarial"].items()
        if found is not None and found["auc"] >= SHIFTED and found["low"] > 0.5
    }
    if shifted:
        named = ", ".join(f"{name} ({text.number(found)})" for name, found in shifted.items())
        said.append(
            f"test films can be told from train's: {named}; a loss on test may be the films', not the network's"
        )
    ridge = text.percent(_accuracy(probes, RIDGE, held_out[0]))
    return [line for line in said if line] + [f"a network has to beat the ridge: {ridge} on {held_out[0]}"]


def _shortcut(probes: Mapping[str, Any], name: str, held_out: Sequence[str]) -> str:
    """Return a sentence where a probe of what is no lung tells the class, else nothing."""
    first = held_out[0]
    found, chance = _accuracy(probes, name, first), _accuracy(probes, MAJORITY, first)
    if found is None or chance is None or found < chance + SHORTCUT:
        return ""
    what = {METADATA: "the file alone (metadata)", BORDER: "the border alone"}[name]
    tells = " and ".join(f"in {split} with {text.percent(_accuracy(probes, name, split))}" for split in held_out)
    least = f"the most frequent class scores {text.percent(chance)} in {first}"
    return f"{what} tells the class {tells} ({least}): a network can learn that shortcut"


def _accuracy(probes: Mapping[str, Any], name: str, split: str) -> float | None:
    found: float | None = probes["models"].get(name, {}).get("splits", {}).get(split, {}).get("accuracy")
    return found


def _spoken(name: str) -> str:
    return name.replace("_", " ")
