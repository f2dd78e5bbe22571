"""Which page of docs/ stands in which section of the site: `mkdocs` calls `on_config`."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
# Patterns, in the order of the pages; a page stands where it is named first. What nothing names comes last.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Tutorial": ("tutorial.md",),
    "How-to guides": (
        "howto-fetch.md",
        "howto-split.md",
        "howto-margins.md",
        "howto-use.md",
        "inputs.md",
        "howto-ci.md",
        "proof.md",
        "clusters.md",
        "object-stores.md",
        "loaders.md",
        "planning.md",
        "extending.md",
        "howto-*.md",
    ),
    "Reference": (
        "commands.md",
        "manifests.md",
        "layout.md",
        "stops.md",
        "audit.md",
        "audit-*.md",
        "evaluation.md",
        "evaluation-*.md",
        "networks.md",
        "training.md",
        "performance.md",
        "scale.md",
        "plateau.md",
    ),
    "Explanation": ("explanation.md", "walkthrough.md", "*.md"),
    "Decisions": ("decisions.md",),
}
NAMED = {name for patterns in SECTIONS.values() for name in patterns if "*" not in name}


def navigation(names: list[str]) -> list[dict[str, Any]]:
    """Return the site's sections with their pages, of the pages that there are; each page once."""
    left = sorted(set(names) - {"index.md"})
    found: list[dict[str, Any]] = [{"Home": "index.md"}]
    for section, patterns in SECTIONS.items():
        pages = []
        for pattern in patterns:
            taken = [name for name in left if fnmatch(name, pattern) and (name == pattern or name not in NAMED)]
            left = [name for name in left if name not in taken]
            pages += taken
        found.append({section: pages[0] if pages == [f"{section.lower()}.md"] else pages})
    return [section for section in found if all(section.values())]


def on_config(config: Any) -> Any:
    """Give the site its navigation; `mkdocs` takes each page's first heading for its name."""
    config["nav"] = navigation([path.name for path in DOCS.glob("*.md")])
    return config
