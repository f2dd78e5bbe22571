"""The sections of a page: each stands where the figures that it shows are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.reporting.page import Figures


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        page: of which it is a part.
        name: its id; the template is `PAGE_NAME.html.j2`.
        title: its heading.
        needs: figures by their names in the summary, each within the one before; without them it is left out.
        least: how many figures there must be.
    """

    page: str
    name: str
    title: str
    needs: tuple[str, ...] = ()
    least: int = 1

    @property
    def template(self) -> str:
        """The file of its content."""
        return f"{self.page}_{self.name}.html.j2"

    def has_figures(self, summary: Figures) -> bool:
        """Whether the summary holds what it shows."""
        found: Any = summary
        for name in self.needs:
            found = found.get(name) if isinstance(found, Mapping) else None
        return _holds_any(found) and (self.least == 1 or len(found) >= self.least)


def _holds_any(found: Any) -> bool:
    """Whether there is a figure in nested ones: a list of no films in each split is nothing to show."""
    if isinstance(found, Mapping):
        return any(map(_holds_any, found.values()))
    return bool(found) if isinstance(found, list | str) else found is not None
