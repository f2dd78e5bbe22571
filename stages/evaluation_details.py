"""What an evaluation tells beside the gap: kinds of errors, further scores, subgroups, margins, wrong films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests import store
from manifests.rows import AUDITED, NORMALIZED, SPLITS, ImageRow, NormalizedRow
from stages import paths
from stages.columns import numbers, ok_rows
from stages.contract import Root, StageError
from stages.gallery import WrongFilm, choose_wrong
from stages.scoring import Images, Probabilities
from stages.statistics import calibration, errors, scores
from stages.statistics.subgroups import Answered, Property, by_third, by_value, score_subgroups

if TYPE_CHECKING:
    import pyarrow as pa

HELD_OUT = ("val", "test")  # whose films are told apart and shown: the network has seen neither them nor siblings


def details(
    root: Root,
    images: Mapping[str, Images],
    said: Mapping[str, Mapping[str, Probabilities]],
    classes: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Return the figures of every scored split beside its accuracy: nested numbers and short texts, as JSON has them.

    Of several models, scores are means over them, counts are sums, and the films shown are those that the mean of
    their probabilities is surest of and wrong about.

    Args:
        root: whose manifests tell of the films; without the audit's, subgroups of raw files are left out.
        images: each scored split's films; sets that are no split are passed over.
        said: of each model, the probabilities of each split's films.
        classes: names, in the order of the indices.
        draws: how often patients are redrawn for the intervals of subgroups.
        seed: decides the draws.

    Raises:
        StageError: where a probability is no number.
    """
    judged: dict[str, _Judged] = {
        split: _Judged.of(images[split], [told[split] for told in said.values()]) for split in SPLITS if split in images
    }
    _refuse_nan(judged)
    held_out = {split: judged[split] for split in HELD_OUT if split in judged}
    return {
        **_errors(judged, classes),
        "further": {split: of_split.further(classes) for split, of_split in judged.items()},
        "reliability": {split: calibration.reliability(*of_split.pooled()) for split, of_split in judged.items()},
        "subgroups": _subgroups(root, held_out, classes, draws=draws, seed=seed),
        "margins": _margins(root, classes),
        "unfilled": _unfilled(root, classes),
        "gallery": {split: of_split.surest_wrong(classes) for split, of_split in held_out.items()},
    }


@dataclass(frozen=True, slots=True)
class _Judged:
    """A split's films and what each model says of them.

    Attributes:
        rows: of the films.
        labels: (films,) index of each film's class.
        told: (models, films, classes) probabilities.
    """

    rows: Sequence[ImageRow]
    labels: NDArray[np.int64]
    told: NDArray[np.float32]

    @classmethod
    def of(cls, images: Images, told: Sequence[Probabilities]) -> _Judged:
        return cls(images.rows, images.labels, np.stack(told))

    def pooled(self) -> tuple[Probabilities, NDArray[np.int64]]:
        """Return probabilities and classes of the films, each film once for each model."""
        return np.concatenate(self.told), np.tile(self.labels, len(self.told))

    def answered(self) -> Answered:
        """Return what subgroups are scored by."""
        return Answered([row.group_id or row.film_id for row in self.rows], self.labels, self.told.argmax(axis=2))

    def surest_wrong(self, classes: Sequence[str]) -> list[WrongFilm]:
        """Return the films that the models' mean is surest of and wrong about."""
        return choose_wrong(self.rows, self.told.mean(axis=0), classes)

    def further(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the scores beside accuracy, those of several models averaged."""
        of_models = [calibration.further_scores(told, self.labels) for told in self.told]
        found = {name: _mean([scored[name] for scored in of_models]) for name in of_models[0] if name != "auc"}
        aucs = zip(classes, zip(*(scored["auc"] for scored in of_models), strict=True), strict=True)
        return {**found, "auc": {name: _mean(of_class) for name, of_class in aucs}}


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None where a value is not known: models agree on that, since the films decide it."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _refuse_nan(judged: Mapping[str, _Judged]) -> None:
    for split, of_split in judged.items():
        if lost := int(np.isnan(of_split.told).any(axis=(0, 2)).sum()):
            raise StageError(
                f"the network's probabilities of {lost:,} of {len(of_split.rows):,} films of {split} are no numbers; "
                "expected some in [0, 1]; train again, with a lower learning rate"
            )


def _errors(judged: Mapping[str, _Judged], classes: Sequence[str]) -> dict[str, Any]:
    """Return the errors of detection and of cause, or why they cannot be told apart."""
    normal = errors.normal_class(classes)
    if normal is None:
        names = ", ".join(errors.NORMAL_NAMES)
        return {"errors_not_split": f"no class, or more than one, is named as one without findings is ({names})"}
    found = {}
    for split, of_split in judged.items():
        told, labels = of_split.pooled()
        table = scores.confusion(labels, told.argmax(axis=1), classes=len(classes))
        by_class = errors.split_errors_by_class(table, classes, normal=normal)
        found[split] = {**errors.split_errors(table, normal=normal), "by_class": by_class}
    return {"normal_class": classes[normal], "errors": found}


def _subgroups(
    root: Root, held_out: Mapping[str, _Judged], classes: Sequence[str], *, draws: int, seed: int
) -> dict[str, Any]:
    """Return how the films of each split are judged that share a value, property by property."""
    raw = _raw_films(root)
    return {
        split: score_subgroups(of_split.answered(), _properties(of_split.rows, raw), classes, draws=draws, seed=seed)
        for split, of_split in held_out.items()
    }


class _RawFilm(NamedTuple):
    """What the audit knows of a raw film that subgroups are made of; aspect is width / height."""

    pixels: int
    aspect: float
    mode: str | None


def _raw_films(root: Root) -> dict[str, _RawFilm]:
    """Return the films that the audit passed, by their hash; none where there is no audit."""
    manifest = root / paths.AUDIT
    if not manifest.exists():
        return {}
    names = ("film_id", "width", "height", "mode")
    passed = ok_rows(store.read_table(AUDITED.only("status", *names), manifest))
    columns = (passed.column(name).to_pylist() for name in names)
    return {
        film_id: _RawFilm((width or 0) * (height or 0), (width or 0) / (height or 1), mode)
        for film_id, width, height, mode in zip(*columns, strict=True)
        if film_id
    }


def _properties(rows: Sequence[ImageRow], raw: Mapping[str, _RawFilm]) -> dict[str, Property]:
    """Return by what films are told apart; thirds are of all the films that the audit passed, whatever is scored."""
    known = [raw.get(row.film_id) for row in rows]
    return {
        "raw size, megapixels": by_third(
            [film.pixels if film else None for film in known],
            [film.pixels for film in raw.values()],
            lambda pixels: f"{pixels / 1e6:.3g}",
        ),
        "aspect, width / height": by_third(
            [film.aspect if film else None for film in known],
            [film.aspect for film in raw.values()],
            lambda aspect: f"{aspect:.3f}",
        ),
        "series": by_value([series(row) for row in rows]),
        "mode": by_value([film.mode if film else None for film in known]),
        "margins": by_value([_margin(row) for row in rows]),
    }


def _margin(row: ImageRow) -> str | None:
    if not isinstance(row, NormalizedRow):
        return None
    return "padded" if row.padded else "without margin"


def series(row: ImageRow) -> str | None:
    """Return the series in a group of class/series/number, or None where the group is none such."""
    parts = (row.group_id or "").split("/")
    fits = len(parts) == 3 and parts[0] == row.label and parts[2].isdigit()
    return parts[1] if fits else None


def _margins(root: Root, classes: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return for each split and class how much of the films normalize cut away, and how much it padded."""
    schema = NORMALIZED.only("status", "split", "label_index", "lost", "padded")
    table = store.read_table(schema, root / paths.NORMALIZED_MANIFEST)
    lost, padded, index = (numbers(table.column(name)) for name in ("lost", "padded", "label_index"))
    usable = _where(table, "status", "ok")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for split in SPLITS:
        in_split = usable & _where(table, "split", split)
        for number, name in enumerate(classes):
            chosen = in_split & (index == number)
            if chosen.any():
                found.setdefault(split, {})[name] = {
                    "films": int(chosen.sum()),
                    "lost_mean": float(lost[chosen].mean()),
                    "padded_films": float((padded[chosen] > 0).mean()),
                    "padded_mean": float(padded[chosen].mean()),
                }
    return found


def _unfilled(root: Root, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return for each class how much of the copies came from outside the film; nothing where there are no copies."""
    from stages.drawn import AUGMENTED  # noqa: PLC0415  # cv2

    manifest = root / paths.AUGMENTED_MANIFEST
    if not manifest.exists():
        return {}
    table = store.read_table(AUGMENTED.only("status", "label_index", "copy", "unfilled"), manifest)
    unfilled, index, copy = (numbers(table.column(name)) for name in ("unfilled", "label_index", "copy"))
    copies = _where(table, "status", "ok") & (copy > 0)
    return {
        name: {
            "copies": int(chosen.sum()),
            "mean": float(unfilled[chosen].mean()),
            "most": float(unfilled[chosen].max()),
            "copies_with_any": float((unfilled[chosen] > 0).mean()),
        }
        for number, name in enumerate(classes)
        if (chosen := copies & (index == number)).any()
    }


def _where(table: pa.Table, name: str, value: str) -> NDArray[np.bool_]:
    """Return for each row whether a column of texts holds a value."""
    return np.asarray(table.column(name).to_numpy() == value, np.bool_)
