"""The page of an evaluation: the gap first, then what it is made of, each section where its figures are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from stages.reporting import dots, evaluation_plots, gap_words, plots
from stages.reporting.dots import Dots, ForScreens
from stages.reporting.evaluation_plots import Level
from stages.reporting.page import MOST_CLASSES, NOT_PROVIDED, Figures, render, split_name
from stages.reporting.sections import Section

SECTIONS = (
    Section("evaluation", "gap", "The gap, part by part", ("gap", "parts")),
    Section("evaluation", "classes", "The gap, class by class", ("gap", "parts")),
    Section("evaluation", "splits", "Scores of each split", ("splits",)),
    Section("evaluation", "recall", "Recall of each class", ("splits",)),
    Section("evaluation", "differences", "Train against each split", ("differences",)),
    Section("evaluation", "errors", "Errors of detection and of cause", ("errors",)),
    Section("evaluation", "undivided", "Errors of detection and of cause", ("errors_not_split",)),
    Section("evaluation", "confusion", "What was named as what", ("splits",)),
    Section("evaluation", "reliability", "How far its confidence can be believed", ("reliability",)),
    Section("evaluation", "further", "Further scores", ("further",)),
    Section("evaluation", "probes", "What simple models reach", ("probes", "models")),
    Section("evaluation", "subgroups", "Subgroups", ("subgroups",)),
    Section("evaluation", "margins", "Margins and losses by class", ("margins",)),
    Section("evaluation", "gallery", "Films it is sure of and wrong about", ("gallery",)),
    Section("evaluation", "models", "Model by model", ("models",), least=2),
    Section("evaluation", "discipline", "Test-set discipline", ("test_peeks",)),
    Section("evaluation", "facts", "What it was made with"),
    Section("evaluation", "unknown", "What this page cannot know"),
)


def evaluation_page(
    summary: Figures,
    *,
    classes: list[str],
    facts: Mapping[str, Mapping[str, Any]],
    thumbnails: Mapping[str, str] | None = None,
) -> str:
    """Return the page of `reports/evaluation.json`.

    Args:
        summary: what the JSON holds.
        classes: in the order of the tables.
        facts: tables of names and values at the page's end, by title: model, parameters, versions.
        thumbnails: data: addresses of the gallery's films, by their hash.
    """
    splits = summary["splits"]
    gap = summary.get("gap") or {}
    return render(
        "evaluation",
        summary=summary,
        classes=classes,
        facts=facts,
        thumbnails=thumbnails or {},
        focus=list(splits)[-1],
        sections=[section for section in SECTIONS if section.has_figures(summary)],
        arms=summary.get("split_arms") or summary.get("split") or {},
        gap_words=gap_words,
        told=[part for part, found in (gap.get("parts") or {}).items() if found["low"] > 0 or found["high"] < 0],
        waterfall=waterfall(gap),
        recall_plot=_recall_plot(splits, classes),
        reliability_plot=_reliability_plot(summary.get("reliability") or {}),
        not_provided=NOT_PROVIDED,
    )


def _for_screens(draw: Callable[..., Markup], *what: Any, **how: Any) -> ForScreens:
    return ForScreens(draw(*what, **how), draw(*what, **how, width_in=plots.NARROW_IN))


def waterfall(gap: Figures) -> ForScreens | None:
    """Return a plot of the way from the first set to the last, or None where there is no gap to take apart."""
    if not gap.get("parts"):
        return None
    first, last = gap["accuracies"][0], gap["accuracies"][-1]
    ends = [split_name(end["films"]) for end in (first, last)]
    return _for_screens(
        evaluation_plots.waterfall_plot,
        _level(ends[0], first),
        [_level(gap_words.short_meaning(part), found) for part, found in gap["parts"].items()],
        _level(ends[1], last),
        axis="accuracy, %",
        alt=f"Waterfall of accuracy from {ends[0]} to {ends[1]}, a bar for each part with its 95 % interval; "
        "the table below has the same numbers.",
    )


def _level(name: str, found: Figures) -> Level:
    return Level(name, found["value"], found["low"], found["high"])


def _recall_plot(splits: Figures, classes: Sequence[str]) -> ForScreens | None:
    """Return a plot of each class's recall in each split, or None where the classes are too many to be seen."""
    if len(classes) > MOST_CLASSES:
        return None
    series = [
        Dots(
            split_name(split),
            figures["recall"],
            {name: (figures["recall_low"][name], figures["recall_high"][name]) for name in figures["recall"]},
        )
        for split, figures in splits.items()
    ]
    return dots.dot_plot(
        series,
        categories=classes,
        axis="recall, with its 95 % interval",
        alt="Recall of each class in each split with its interval; the table below has the same numbers.",
    )


def _reliability_plot(curves: Figures) -> ForScreens | None:
    """Return a plot of accuracy against confidence, a curve for each split but the small leak probe."""
    shown = {split_name(split): [] if split == "leak_probe" else bins for split, bins in curves.items()}
    drawn = [name for name, bins in shown.items() if bins]
    if not drawn:
        return None
    return _for_screens(
        evaluation_plots.reliability_plot,
        shown,
        alt=f"Accuracy against confidence in {', '.join(drawn)}; the table below has the numbers of {drawn[-1]}.",
    )
