"""The page of an evaluation: the gap first, then what it is made of, each section where its figures are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.reporting import evaluation_plots, plots
from stages.reporting.evaluation_plots import Level
from stages.reporting.page import MOST_CLASSES, NOT_PROVIDED, Figures, render, split_name
from stages.reporting.plots import Dots

if TYPE_CHECKING:
    from markupsafe import Markup

JOINT = "+"  # between the names of parts that cannot be told apart
BLAMED: Mapping[str, str] = {  # what a part lays the loss to, in two words and in a sentence
    "augmentation": "the copies",
    "fit": "memorisation",
    "leakage": "patients known",
    "prior": "class shares",
    "shift": "other films",
    "threshold": "cut-offs",
}
MEANINGS: Mapping[str, str] = {
    "augmentation": "Blames the copies: they are named rightly more often than the plain films they were made of. "
    "Below 0 they are the harder ones, as augmentation intends.",
    "fit": "Blames memorisation: films that were trained on, against films held out one by one.",
    "leakage": "Blames leakage: films whose patients may be known from train, against patients held out whole. "
    "It is what a careless split would have hidden.",
    "prior": "Blames class shares: the same films of val, weighed as train's classes are and as the test's are.",
    "shift": "Blames another hospital, time or machine: val against the test at the same class shares, each class's "
    "threshold refitted on the other half of the test.",
    "threshold": "Blames the threshold: what the test would gain if the class cut-offs suited it. The network ranks "
    "these films better than it names them.",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        name: its id; the template is `evaluation_NAME.html.j2`.
        title: its heading.
        needs: figures by their names in the summary, each within the one before; without them it is left out.
        least: how many figures there must be.
    """

    name: str
    title: str
    needs: tuple[str, ...] = ()
    least: int = 1

    @property
    def template(self) -> str:
        """The file of its content."""
        return f"evaluation_{self.name}.html.j2"

    def has_figures(self, summary: Figures) -> bool:
        """Whether the summary holds what it shows."""
        found: Any = summary
        for name in self.needs:
            found = found.get(name) if isinstance(found, Mapping) else None
        return bool(found) and (self.least == 1 or len(found) >= self.least)


SECTIONS = (
    Section("gap", "The gap, part by part", ("gap", "parts")),
    Section("classes", "The gap, class by class", ("gap", "parts")),
    Section("splits", "Scores of each split", ("splits",)),
    Section("recall", "Recall of each class", ("splits",)),
    Section("differences", "Train against each split", ("differences",)),
    Section("errors", "Errors of detection and of cause", ("errors",)),
    Section("undivided", "Errors of detection and of cause", ("errors_not_split",)),
    Section("confusion", "What was named as what", ("splits",)),
    Section("reliability", "How far its confidence can be believed", ("reliability",)),
    Section("further", "Further scores", ("further",)),
    Section("probes", "What simple models reach", ("probes", "models")),
    Section("subgroups", "Subgroups", ("subgroups",)),
    Section("margins", "Margins and losses by class", ("margins",)),
    Section("gallery", "Films it is sure of and wrong about", ("gallery",)),
    Section("models", "Model by model", ("models",), least=2),
    Section("discipline", "Test-set discipline", ("test_peeks",)),
    Section("facts", "What it was made with"),
    Section("unknown", "What this page cannot know"),
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
        part_names={part: part_name(part) for part in gap.get("parts") or ()},
        meanings={part: meaning(part) for part in gap.get("parts") or ()},
        told=[part for part, found in (gap.get("parts") or {}).items() if found["low"] > 0 or found["high"] < 0],
        waterfall=_waterfall(gap),
        recall_plot=_recall_plot(splits, classes),
        reliability_plot=_reliability_plot(summary.get("reliability") or {}),
        not_provided=NOT_PROVIDED,
    )


def part_name(part: str) -> str:
    """Return a part as a reader meets it, with what it blames in two words."""
    names = part.split(JOINT)
    return f"{part}: {BLAMED[part]}" if part in BLAMED else " and ".join(names)


def meaning(part: str) -> str:
    """Return what a part blames, in a sentence or two."""
    if part in MEANINGS:
        return MEANINGS[part]
    return "Not told apart, for want of a set of films between them: " + ", ".join(
        BLAMED.get(name, name) for name in part.split(JOINT)
    )


class Plot(NamedTuple):
    """A plot for wide screens and paper, and the same for telephones."""

    wide: Markup
    narrow: Markup


def _for_screens(draw: Callable[..., Markup], *what: Any, **how: Any) -> Plot:
    return Plot(draw(*what, **how), draw(*what, **how, width_in=plots.NARROW_IN))


def _waterfall(gap: Figures) -> Plot | None:
    """Return a plot of the way from the first set to the last, or None where there is no gap to take apart."""
    if not gap.get("parts"):
        return None
    first, last = gap["accuracies"][0], gap["accuracies"][-1]
    ends = [split_name(end["films"]) for end in (first, last)]
    return _for_screens(
        evaluation_plots.waterfall_plot,
        _level(ends[0], first),
        [_level(part_name(part), found) for part, found in gap["parts"].items()],
        _level(ends[1], last),
        axis="accuracy, %",
        alt=f"Waterfall of accuracy from {ends[0]} to {ends[1]}, a bar for each part with its 95 % interval; "
        "the table below has the same numbers.",
    )


def _level(name: str, found: Figures) -> Level:
    return Level(name, found["value"], found["low"], found["high"])


def _recall_plot(splits: Figures, classes: Sequence[str]) -> Plot | None:
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
    return _for_screens(
        plots.dot_plot,
        series,
        categories=classes,
        axis="recall, with its 95 % interval",
        alt="Recall of each class in each split with its interval; the table below has the same numbers.",
    )


def _reliability_plot(curves: Figures) -> Plot | None:
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
