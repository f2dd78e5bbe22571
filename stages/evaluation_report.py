"""What a user reads of an evaluation: the terminal's lines, and the small tables for `dvc metrics` and `dvc plots`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from manifests.rows import PredictionRow
from stages.leaks import leak_warning
from stages.peeks import peeks_line
from stages.reporting import text
from stages.reporting.gap_words import BLAMED

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for a formula
MOST_CLASSES = 6  # that the table of parts has room for
SET_NAMES: Mapping[str, str] = {"augmented": "augmented train", "leak_probe": "leak probe"}
UNSEEN = "what leaks does not show among the parts: val shows patients of train, as the leak probe does"
RIDGE = "the ridge is a linear model of 28 x 28 pixels, the least that a network has to beat"
BLOCKS = "val is a block of numbers (holdout block): what a block differs by stands under leakage, not under shift"


def lines(summary: Mapping[str, Any], classes: Sequence[str], empty: Sequence[str], *, split: str) -> list[str]:
    """Return what the terminal shows: a failure first, the total and its parts, what they come from and cannot tell.

    Args:
        summary: what `reports/evaluation.json` holds.
        classes: in the order of the table.
        empty: splits that were asked for and have no films.
        split: what was asked for; the table of all scores is left out for the test alone.
    """
    shown = [] if summary["gap"]["total"] is None else _parts(summary["gap"])
    shown += [_accuracies(summary)] if split == "test" and shown else _splits(summary["splits"], classes)
    shown += _reverse(summary["gap"])
    shown += _untold(summary["gap"], empty, split=split)
    if len(summary["models"]) > 1:
        shown += _models(summary["models"], summary["spread"])
    arms = summary.get("split_arms", {})
    shown += [f"{warning}; {UNSEEN}" for warning in leak_warning(arms)]
    shown += [BLOCKS] if arms.get("holdout") == "block" else []
    if "test_peeks" in summary:
        shown.append(peeks_line(summary["test_peeks"]))
    return [f"{summary['callout']}; {RIDGE}", *shown] if summary["callout"] else shown


def _parts(gap: Mapping[str, Any]) -> list[str]:
    """Return a row for the total and for each part, with what each class loses of its recall."""
    ends = gap["accuracies"]
    total = f"total ({_set_name(ends[0]['films'])} - {_set_name(ends[-1]['films'])})"
    classes = gap["classes"] if len(gap["classes"]) <= MOST_CLASSES else []
    table = [["points lost (classes: of recall)", "in all", "95 % interval", *classes]]
    for name, figure in ((total, gap["total"]), *((_part_name(part), of) for part, of in gap["parts"].items())):
        lost = [text.points(figure["recall"][label]["value"]) for label in classes]
        table.append([name, text.points(figure["value"]), text.points_range(figure["low"], figure["high"]), *lost])
    return text.aligned(table)


def _part_name(part: str) -> str:
    return f"{part} ({BLAMED.get(part, 'not told apart')})"


def _set_name(films: str) -> str:
    return SET_NAMES.get(films, films)


def _accuracies(summary: Mapping[str, Any]) -> str:
    """Return the accuracy of every set that was scored, each at its own class shares, and the last one's interval."""
    shares = {"augmented": summary["augmented_accuracy"]} if "augmented" in summary else {}
    shares |= {split: found["accuracy"] for split, found in summary["splits"].items()}
    last = list(summary["splits"].values())[-1]
    told = ", ".join(f"{_set_name(films)} {text.percent(share)}" for films, share in shares.items())
    return f"accuracy: {told} {text.percent_range(last['accuracy_low'], last['accuracy_high'])}"


def _splits(splits: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    """Return a row for each split."""
    table = [["split", "films", "patients", "accuracy", "95 % interval", "macro recall", *classes]]
    for split, found in splits.items():
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
    return text.aligned(table)


def _reverse(gap: Mapping[str, Any]) -> list[str]:
    """Return what the parts would be where the shift is taken before the prior."""
    told = [f"{part} {_ranged(found)}" for part, found in gap["reverse"].items()]
    return [f"the order is a convention; the other way round: {', '.join(told)}"] if told else []


def _ranged(figure: Mapping[str, Any]) -> str:
    return f"{text.points(figure['value'])} {text.points_range(figure['low'], figure['high'])}"


def _untold(gap: Mapping[str, Any], empty: Sequence[str], *, split: str) -> list[str]:
    """Return what could not be told, and why."""
    told = [f"not scored, having no films: {', '.join(empty)}"] if empty else []
    told += [f"{' and '.join(parts)} cannot be told apart" for parts in gap["joint"]]
    if gap["not_given"] and split in ("all", "test"):
        told.append(f"not given: {', '.join(gap['not_given'])}")
    for label, lacking in gap["left_out"].items():
        told.append(f"the parts leave out {label}: no film of it in {', '.join(map(_set_name, lacking))}")
    return told


def _models(models: Mapping[str, Any], spread: Mapping[str, Any]) -> list[str]:
    """Return a row for each model, and the mean and the standard deviation over them."""
    sets, parts = list(spread["accuracy"]), list(spread["parts"])
    totals = ["total"] if spread["total"] else []
    table = [["model", *(_set_name(films) for films in sets), *totals, *parts]]
    for name, found in models.items():
        told = [found["total"]] if totals else []
        told += [found["parts"][part] for part in parts]
        accuracies = [text.percent(found["accuracy"][films]) for films in sets]
        table.append([name, *accuracies, *(text.points(figure["value"]) for figure in told)])
    of_figures = [spread["total"]] if totals else []
    of_figures += [spread["parts"][part] for part in parts]
    of_sets = list(spread["accuracy"].values())
    means = [text.percent(of["mean"]) for of in of_sets] + [text.points(of["mean"]) for of in of_figures]
    table.append([f"mean of {len(models)}", *means])
    table.append(["SD, points", *(text.number(100 * of["sd"], 1) for of in (*of_sets, *of_figures))])
    return text.aligned(table)


def headline(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the few figures that `dvc metrics` tables: accuracies with their intervals, the total and the parts."""
    figures: dict[str, float] = {}
    for split, found in summary["splits"].items():
        figures[split] = found["accuracy"]
        if split != "train":
            figures |= {f"{split}_low": found["accuracy_low"], f"{split}_high": found["accuracy_high"]}
    if total := summary["gap"]["total"]:
        figures |= {"gap_total": total["value"], "gap_total_low": total["low"], "gap_total_high": total["high"]}
    return figures | {f"gap_{part}": found["value"] for part, found in summary["gap"]["parts"].items()}


def gap_csv(gap: Mapping[str, Any]) -> bytes:
    """Return the total and the parts with their intervals as `dvc plots` reads them, in shares of the films."""
    rows = {"total": gap["total"], **gap["parts"]} if gap["total"] else {}
    figures = ([part, found["value"], found["low"], found["high"]] for part, found in rows.items())
    return _csv(["part", "value", "low", "high"], figures)


def confusion_csv(rows: Sequence[PredictionRow]) -> bytes:
    """Return the films' true and predicted classes as `dvc plots` reads them for its confusion template.

    A class that begins as a formula does gets an apostrophe before it, so that no spreadsheet runs it.
    """
    return _csv(["actual", "predicted"], ([_as_text(row.label or ""), _as_text(row.predicted)] for row in rows))


def reliability_csv(bins: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the accuracy at each bin's mean confidence as `dvc plots` reads it."""
    head = ["confidence", "accuracy", "films"]
    return _csv(head, ([each[name] for name in head] for each in bins))


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return table.getvalue().encode()


def _as_text(name: str) -> str:
    return f"'{name}" if name.startswith(FORMULA_STARTS) else name
