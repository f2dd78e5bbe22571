"""What every benchmark prints beside its figures: the machine, the versions, tables that read well as they are."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from manifests.installed import told_version

PACKAGES = (
    "cxr-pipeline",
    "torchvision",
    "albumentations",
    "Augmentor",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
    "pyarrow",
    "joblib",
    "numpy",
)
LEARNING = ("torch", "numpy", "opencv-python-headless")


def machine() -> str:
    """Return the machine in a line."""
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(":")[1].strip() for line in facts.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"Machine: {len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB, {platform.platform()}."


def versions(packages: Sequence[str] = PACKAGES) -> str:
    """Return Python's version and those of some packages in a line."""
    return f"Python {platform.python_version()}, {', '.join(f'{name} {told_version(name)}' for name in packages)}."


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table that also reads well as it is: the first row its head, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (rows[0], rule, *rows[1:]))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return f"| {' | '.join(cells)} |"
