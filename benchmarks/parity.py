"""How near our pixels are to torchvision's under the recipe of 2020, on real films.

python benchmarks/parity.py                the 375 full-size films, 200 angles: a minute
python benchmarks/parity.py --angles 10    a quick look

Prints the largest difference of normalization, brightness and flip over all films, and for the nearest-neighbour
rotation the share of pixels that differ and how near the border between two source pixels they are read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import functional, v2

from benchmarks.films import real_films
from stages.films import decode, geometry
from stages.films.frame import Frame, Gray
from stages.films.operations import Brightness
from stages.films.placement import fit, place

FRAME = Frame(height=256, width=300)
REFERENCE = v2.Compose([v2.Grayscale(), v2.Resize(256), v2.CenterCrop((FRAME.height, FRAME.width))])


def films(folder: Path) -> Iterator[tuple[Path, Gray, Gray]]:
    """Yield each film's path, our normalized film and torchvision's."""
    for path in sorted(folder.rglob("*.jpeg")):
        header, image = decode.decode(path.read_bytes())
        with Image.open(path) as film:
            theirs = np.asarray(REFERENCE(film))
        yield path, fit(image, place(header.frame, frame=FRAME, policy="crop")), theirs


def difference(ours: Gray, theirs: Gray) -> int:
    """Return the largest difference in grey levels."""
    return int(np.abs(ours.astype(int) - theirs.astype(int)).max())


def rotation(film: Gray, angle_deg: float) -> tuple[float, float]:
    """Return the share of pixels that differ, and the farthest that one of them is read from a pixel's border."""
    matrix = geometry.combine([geometry.rotation(angle_deg, FRAME)])
    ours = geometry.warp(film, matrix, interpolation="nearest", margins="black")
    theirs = np.asarray(functional.rotate(Image.fromarray(film), angle_deg))
    rows, columns = np.nonzero(ours != theirs)
    places = matrix @ np.vstack([columns, rows, np.ones(len(rows))])
    to_border = np.abs(places - np.floor(places) - 0.5).min(axis=0)
    return len(rows) / film.size, float(to_border.max()) if len(rows) else 0.0


def main() -> None:
    """Compare all films and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, default=real_films() / "kermany-raw", help="raw films [kermany-raw of CXR_REAL_FILMS]"
    )
    parser.add_argument("--angles", type=int, default=200, help="rotations to compare [200]")
    arguments = parser.parse_args()
    generator = np.random.Generator(np.random.Philox(key=0))
    normalized, differing, brightness, flipped = [], [], 0, 0
    for path, ours, theirs in films(arguments.films):
        normalized.append(ours)
        if difference(ours, theirs):
            differing.append(f"{path.name}: {difference(ours, theirs)}")
        factor = float(generator.uniform(0.8, 1.2))
        image = Image.fromarray(ours)
        table = Brightness().table({"brightness": factor})
        brightness = max(brightness, difference(table[ours], np.asarray(functional.adjust_brightness(image, factor))))
        mirrored = geometry.warp(ours, geometry.flip(FRAME), interpolation="nearest", margins="black")
        flipped = max(flipped, difference(mirrored, np.asarray(functional.hflip(image))))
    angles = generator.uniform(-15, 15, arguments.angles)
    turned = [rotation(normalized[index % len(normalized)], float(angle)) for index, angle in enumerate(angles)]
    shares = np.array([share for share, _ in turned])
    print(
        f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}, {len(normalized)} films of {arguments.films}"
    )
    print(f"normalization (crop): {len(differing)} films differ {differing[:5]}")
    print(f"brightness: largest difference {brightness}")
    print(f"flip: largest difference {flipped}")
    print(
        f"rotation (nearest), {len(angles)} angles: {shares.mean():.4%} of the pixels differ on average, "
        f"{shares.max():.4%} at most; the farthest is read {max(far for _, far in turned):.4f} px from a border"
    )


if __name__ == "__main__":
    main()
