"""What HTML pages are rendered by: one file each, with all they need inside, of figures that the stages hand over."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader

from manifests.store import TOOL_VERSION
from stages.reporting import text

Figures = Mapping[str, Any]  # nested, as JSON has them

NOT_PROVIDED: Mapping[str, str] = {
    "Intended use": "what the network may decide or support, and for whom",
    "Population": "age, sex, place and time of the patients, and who is missing",
    "Reference standard": "who read the films, how often, and how disagreement was settled",
    "Ethics": "approval, consent and de-identification",
}
SPLIT_NAMES: Mapping[str, str] = {
    "augmented": "augmented train",
    "leak_probe": "leak probe",
    "none": "in no delivered split",
}

MOST_CLASSES = 40  # that a plot shows; a data set of a class per film would take minutes to draw, and show nothing


def render(template: str, **values: Any) -> str:
    """Return the page that a template of `templates/` makes of the values.

    Args:
        template: its name without the ending: `audit`, `comparison` or `evaluation`.
        values: what it shows; whatever is left out is left out of the page.
    """
    return _environment().get_template(f"{template}.html.j2").render(tool_version=TOOL_VERSION, **values)


class _OfFigures(Environment):
    """Looks figures up by the names in them alone: a class may be called `clear`, as a method of dicts is."""

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return `obj[argument]`, and never an attribute of a mapping in its place."""
        if isinstance(obj, Mapping) and argument not in obj:
            return self.undefined(obj=obj, name=argument)
        return super().getitem(obj, argument)


@cache
def _environment() -> Environment:
    environment = _OfFigures(
        loader=PackageLoader("stages.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # an audit of films without patients or splits has fewer figures: their tables are left out
        undefined=ChainableUndefined,
    )
    environment.filters.update(
        count=text.count,
        number=text.number,
        percent=_percent,
        p_value=text.p_value,
        plain=text.plain,
        points=text.points,
        split_name=split_name,
    )
    environment.globals.update(split_name=split_name, percent_range=text.percent_range, points_range=text.points_range)
    return environment


def _percent(value: object) -> str:
    """Return a share in percent that no line break tears apart."""
    return text.percent(value).replace(" ", "\N{NO-BREAK SPACE}")


def split_name(split: str) -> str:
    """Return a split's name as a reader meets it."""
    return SPLIT_NAMES.get(split, split)
