"""The plots of an audit's page: what tells the classes, what tells train from test, how films spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stages.reporting import distributions
from stages.reporting.dots import Dots, ForScreens, dot_plot
from stages.reporting.page import MOST_CLASSES, Figures, split_name

if TYPE_CHECKING:
    from markupsafe import Markup

AXES = {"bits_per_pixel": "bits per pixel of the file", "aspect": "width / height"}
AXIS_OF_AUC = "AUC against the rest, 95 % interval"
CHANCE = 0.5  # the AUC that tells nothing
TRANSFER = "train to test"  # the last row of a class's way


def plots_of(summary: Figures) -> dict[str, Any]:
    """Return the plots by the names that the templates know; where a figure is missing, so is its plot."""
    shortcuts = summary.get("shortcuts") or {}
    features, joint = shortcuts.get("features") or {}, shortcuts.get("joint") or {}
    return {
        "feature_plots": {split: _feature_plot(split, found) for split, found in features.items()},
        "joint_plots": {name: _joint_plot(name, joint) for name in _classes_of(joint)},
        "shift_plot": _shift_plot((summary.get("shift") or {}).get("by_class") or {}),
        "mark_plots": _mark_plots((summary.get("costs") or {}).get("policies") or {}),
        "histogram_plots": {
            name: _histograms(name, found, summary.get("classes") or ())
            for name, found in (summary.get("histograms") or {}).items()
        },
    }


def _dots(name: str, tells: Mapping[str, Figures]) -> Dots:
    """Return a series of AUCs with their intervals, by category."""
    return Dots(
        name,
        {category: one["auc"] for category, one in tells.items()},
        {category: (one["low"], one["high"]) for category, one in tells.items()},
    )


def _feature_plot(split: str, found: Figures) -> ForScreens | None:
    """Return a plot of the AUC of each feature for each class, or None where there is nothing to plot."""
    alt = f"AUC of each file feature for each class, {split_name(split)}; the table below has the same numbers."
    return _plot_of_classes(found, alt)


def _plot_of_classes(rows: Mapping[str, Figures], alt: str) -> ForScreens | None:
    """Return a plot of how far each row tells each class, or None where there is no class, or too many to be seen.

    Args:
        rows: figures of each class, by what tells them.
        alt: what a reader who does not see the plot should know.
    """
    classes = dict.fromkeys(name for by_class in rows.values() for name in by_class)
    if not 0 < len(classes) <= MOST_CLASSES:
        return None
    series = [
        _dots(name, {row: by_class[name] for row, by_class in rows.items() if name in by_class}) for name in classes
    ]
    return dot_plot(series, categories=list(rows), axis=AXIS_OF_AUC, mark=CHANCE, alt=alt)


def _classes_of(joint: Figures) -> Sequence[str]:
    """Return the classes that any source tells; of very many, none: a plot each would be a book."""
    names = dict.fromkeys(
        name for source in joint.values() for by_class in source["within"].values() for name in by_class
    )
    return list(names) if len(names) <= MOST_CLASSES // 4 else []


def _joint_plot(name: str, joint: Figures) -> ForScreens | None:
    """Return a plot of how well each source tells one class: within each split, and from train to test."""
    rows: dict[str, dict[str, Any]] = {}
    for source, found in joint.items():
        for split, by_class in found["within"].items():
            if name in by_class:
                rows.setdefault(f"within {split_name(split)}", {})[source] = by_class[name]
        if name in found["transfer"]:
            rows.setdefault(TRANSFER, {})[source] = found["transfer"][name]
    if not rows:
        return None
    return dot_plot(
        [_dots(row, tells) for row, tells in rows.items()],
        categories=list(joint),
        axis=AXIS_OF_AUC,
        mark=CHANCE,
        alt=f"How well each source tells {name} from the rest within each split, and learned in train and asked in "
        "the test; the table below has the same numbers.",
    )


def _shift_plot(found: Figures) -> ForScreens | None:
    """Return a plot of how well the test's films of each class are told from train's."""
    sources = list(dict.fromkeys(source for one in found.values() for source in one if source != "films"))
    if not sources or len(found) > MOST_CLASSES:
        return None
    series = [
        _dots(name, {source: one[source] for source in sources if one.get(source)}) for name, one in found.items()
    ]
    return dot_plot(
        series,
        categories=sources,
        axis="AUC of test against train, 95 % interval",
        mark=CHANCE,
        alt="How well the test's films of each class are told from its films of train; the table has them.",
    )


def _mark_plots(policies: Figures) -> dict[str, ForScreens | None]:
    """Return for each split a plot of how far what each policy does tells each class."""
    splits = dict.fromkeys(split for found in policies.values() for split in found["marks"])
    return {split: _mark_plot(split, policies) for split in splits}


def _mark_plot(split: str, policies: Figures) -> ForScreens | None:
    rows = {
        f"{policy}: {mark}": of["auc"]
        for policy, found in policies.items()
        for mark, of in found["marks"].get(split, {}).items()
    }
    alt = f"How far what each policy does tells each class, {split_name(split)}; the table below has the numbers."
    return _plot_of_classes(rows, alt)


def _histograms(name: str, found: Figures, classes: Sequence[str]) -> Markup | None:
    if not found.get("counts") or len(classes) > MOST_CLASSES:
        return None
    return distributions.histograms(
        {split_name(split): by_class for split, by_class in found["counts"].items()},
        edges=found["edges"],
        classes=classes,
        axis=AXES.get(name, name),
        alt=f"Histogram of {AXES.get(name, name)} by class and delivered split; the table below has quantiles.",
    )
