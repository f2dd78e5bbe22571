"""Every link of every page leads somewhere; nothing is asked of a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import REPOSITORY, anchors, links, pages


def broken(page: Path, text: str) -> list[str]:
    """Return a page's links that lead nowhere within the project."""
    return [target for target in links(text) if not _leads_somewhere(page, text, target)]


def _leads_somewhere(page: Path, text: str, target: str) -> bool:
    if re.match(r"https?://|mailto:", target):
        return True
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists() or not file.is_relative_to(REPOSITORY):
        return False
    return not anchor or (file.suffix == ".md" and anchor in anchors(file.read_text("utf-8") if name else text))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("[a](docs/nowhere.md)", ["docs/nowhere.md"]),
        ("![a](docs/nowhere.png)", ["docs/nowhere.png"]),
        ("[a](docs/audit.md#a-gate-in-ci) [b](docs/audit.md#no-heading)", ["docs/audit.md#no-heading"]),
        ("[a](#here)\n\n# Here", []),
        ("[a](#there)\n\n# Here", ["#there"]),
        ("[a](../../etc/passwd)", ["../../etc/passwd"]),
        ("`[a](nowhere.md)`\n\n```text\n[a](nowhere.md)\n```\n", []),
        ("[`--url`](nowhere.md)", ["nowhere.md"]),
        ("[a](https://example.org/nowhere)", []),
    ],
)
def test_a_link_to_nowhere_is_found(text: str, lost: list[str]) -> None:
    assert broken(REPOSITORY / "README.md", text) == lost


def test_headings_give_the_anchors_that_github_gives() -> None:
    text = "# A `gate` in CI: 1, 2 & 3\n## Same\n## Same\n## [Linked](x.md) heading\n"
    assert anchors(text) == {"a-gate-in-ci-1-2--3", "same", "same-1", "linked-heading"}
