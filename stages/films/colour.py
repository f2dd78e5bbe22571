"""Whether a file in colour shows colours: a film scanned or saved in RGB shows shades of one tint alone."""

from __future__ import annotations

import numpy as np
from PIL import Image

SAMPLED_SIDE = 32  # pixels of a regular grid, each way
COLOURED = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")  # modes


def spread(image: Image.Image) -> float | None:
    """Return how far a film's colours lie from the line that fits them best, in grey levels; None for a grey film.

    The shades of any one tint lie on a line through the colour cube, or near one. The line is the first principal
    component of the colours, and what is returned the standard deviation along the other two.
    """
    if image.mode not in COLOURED:
        return None
    sample = image.resize((SAMPLED_SIDE, SAMPLED_SIDE), Image.Resampling.NEAREST).convert("RGB")
    colours = np.asarray(sample, np.float64).reshape(-1, 3)
    variances = np.linalg.eigvalsh(np.cov(colours, rowvar=False))  # the largest last
    return float(np.sqrt(max(0.0, variances[0] + variances[1])))
