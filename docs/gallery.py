"""Draws the README's pictures, from phantoms: `make pictures`, then look at them and commit them.

python -m docs.gallery            all of it, in a folder that goes afterwards
python -m docs.gallery ROOT       of a root that has been evaluated already
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from manifests import store
from manifests.rows import SPLIT
from stages import paths
from stages.reporting.evaluation_page import waterfall
from stages.reporting.sheet import GAP_PX, LINE_PX

PICTURES = Path(__file__).resolve().parent / "pictures"
MOST_BYTES = 300_000  # of all of them together: a clone should not carry more for the sake of its front page
COPIES = 5
HEAD_PX = 2 * LINE_PX + GAP_PX  # of a contact sheet: what is cut off above its pictures and the gap that they keep
COLOURS = "background: #fff; --ink: #1b2128; --line: #d5dbe1; font-family: sans-serif"  # a page gives them otherwise


def make(root: Path) -> None:
    """Draw phantoms under a root and run every stage on them, with a network that is trained in a minute."""
    _run(root, "phantom", "--films", "240", "--longest-side-px", "500")
    for command in ("audit", "split", "normalize", f"augment --copies {COPIES}", "train --epochs 3", "evaluate"):
        _run(root, *command.split())


def draw(root: Path, folder: Path) -> None:
    """Put a contact sheet and the waterfall of the gap of an evaluated root into a folder."""
    folder.mkdir(exist_ok=True)
    _sheet(root, folder / "sheet.png")
    gap = json.loads((root / paths.EVALUATION_SUMMARY).read_text(encoding="utf-8"))["gap"]
    plot = waterfall(gap)
    assert plot is not None, "an evaluated root has a gap"
    (folder / "gap.svg").write_text(_alone(str(plot.wide)), encoding="utf-8")


def _sheet(root: Path, out: Path) -> None:
    """Lay out one training film of each class, each with its first copies."""
    rows = [row for row in store.read(SPLIT, root / paths.SPLIT) if row.split == "train"]
    first = {row.label: row for row in sorted(rows, key=lambda row: row.path, reverse=True)}
    one_each = " or ".join(f"film_id == '{first[label].film_id}'" for label in sorted(first, key=str))
    _run(
        root,
        *("show", "--manifest", "augmented", "--where", f"copy <= {COPIES} and ({one_each})"),
        *("--sort", "label,copy", "--caption", "label,copy,angle_deg,zoom"),
        *("--columns", str(COPIES + 1), "--side-px", "128", "--out", "reports/sheet.png"),
    )
    with Image.open(root / "reports/sheet.png") as sheet:  # without its head: the question is long
        sheet.crop((0, HEAD_PX, sheet.width, sheet.height)).save(out, optimize=True)


def _alone(svg: str) -> str:
    """Return a plot of a page as a file of its own: on white, since whoever shows it may be in the dark."""
    lines = svg.replace("<svg", f'<svg style="{COLOURS}"', 1).splitlines()
    return "\n".join(line.rstrip() for line in lines if line.strip()) + "\n"


def _run(root: Path, *command: str) -> None:
    subprocess.run([sys.executable, "-m", "pipeline", *command, "--root", str(root)], check=True)  # noqa: S603 - our own command


def main(arguments: list[str]) -> int:
    """Draw the pictures, of a root that is named or of one that is made for it; return the exit status."""
    with TemporaryDirectory() as temporary:
        root = Path(arguments[0] if arguments else temporary)
        if not arguments:
            make(root)
        draw(root, PICTURES)
    size = sum(path.stat().st_size for path in PICTURES.iterdir())
    sys.stdout.write(f"{PICTURES}: {size:,} bytes of {MOST_BYTES:,} at most\n")
    return int(size > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
