"""What a DICOM's stored values mean: a table from each of them to a grey level, as its own tags say.

The chain of DICOM PS3.4, N.2: modality LUT or rescale, then VOI LUT or window, then the polarity. A stored value has
at most 16 bits, so the chain runs once for each that there can be and never for each pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from stages.films.dicom_tags import number, word
from stages.films.frame import Gray

Values = NDArray[np.float64]
INVERSE = "INVERSE"
UNSTATED = 16  # bits of a LUT's entries, as whoever does not know them states them: as many as a word has


@dataclass(frozen=True, slots=True)
class Levels:
    """How stored values become grey levels.

    Attributes:
        table: (2^bits stored,) the grey level of each pattern of bits.
        windowing: what chose the range from black to white.
        oddities: what a person should know of it, a kind before its colon.
    """

    table: Gray
    windowing: str
    oddities: tuple[str, ...]


def levels_of(dataset: Dataset, *, bits: int, signed: bool, photometric: str) -> Levels:
    """Return how the stored values of a monochrome DICOM become grey levels.

    Raises:
        ValueError: where its tags map all values to one, or beyond all numbers.
    """
    patterns = np.arange(1 << bits)
    stored = np.where(patterns >> (bits - 1), patterns - (1 << bits), patterns) if signed else patterns
    values, low, high = _modality(dataset, stored)
    shown, windowing, odd = _voi(dataset, values, low, high)
    shape = word(dataset, "PresentationLUTShape")
    if (inverted := photometric == "MONOCHROME1") or shape == INVERSE:
        shown = 1 - shown
        odd += ("polarity is contradictory: MONOCHROME2 with an inverse shape",) if not inverted else ()
    table = np.floor(255 * shown + 0.5).astype(np.uint8)
    return Levels(_without_padding(table, dataset, stored), windowing, odd)


def _modality(dataset: Dataset, stored: NDArray[np.int64]) -> tuple[Values, float, float]:
    """Return the values that the modality LUT or the rescaling gives, and the least and largest there can be.

    Raises:
        ValueError: where these are no numbers.
    """
    if dataset.get("ModalityLUTSequence"):
        bits = int(dataset.ModalityLUTSequence[0].LUTDescriptor[2])
        return apply_modality_lut(stored, dataset).astype(np.float64), 0.0, 2.0**bits - 1
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    values = stored.astype(np.float64)
    if slope:
        values = values * slope + (intercept or 0.0)
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        raise ValueError(f"values from {low} to {high}; expected numbers")
    return values, low, high


def _voi(dataset: Dataset, values: Values, low: float, high: float) -> tuple[Values, str, tuple[str, ...]]:
    """Return values from 0 (black) to 1 by the VOI LUT, else the window, else the whole range that can be stored.

    Of several LUTs or windows the first is taken. The whole range and not the film's own: a range that each film
    chooses for itself tells a network which film it is, and moves with every marker and every collimator.
    """
    if dataset.get("VOILUTSequence"):
        item = dataset.VOILUTSequence[0]
        bits = int(item.LUTDescriptor[2])
        found = apply_voi(np.rint(values).astype(np.int64), dataset).astype(np.float64)
        if bits == UNSTATED:
            bits = max(8, int(found.max()).bit_length())
        return np.clip(found / (2.0**bits - 1), 0, 1), "VOI LUT", ()
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if center is None or width is None:
        return _whole(values, low, high), "bits stored", ()
    function = word(dataset, "VOILUTFunction") or "LINEAR"
    odd = () if function in FUNCTIONS else ("VOI LUT function is unknown: read as LINEAR",)
    function = function if function in FUNCTIONS else "LINEAR"
    if not width >= (1 if function == "LINEAR" else np.finfo(float).tiny):
        return _whole(values, low, high), "bits stored", (*odd, "window is not usable: its width is too small")
    return FUNCTIONS[function](values, center, width), f"window {function}", odd


def _whole(values: Values, low: float, high: float) -> Values:
    """Return values as shares of the way from the least that there can be to the largest.

    Raises:
        ValueError: where these are one.
    """
    if low == high:
        raise ValueError(f"values of {low} alone; expected a range of them")
    return np.clip((values - low) / (high - low), 0, 1)


def _linear(values: Values, center: float, width: float) -> Values:
    """DICOM PS3.3, C.11.2.1.2.1."""
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _linear_exact(values: Values, center: float, width: float) -> Values:
    """DICOM PS3.3, C.11.2.1.3.2."""
    return np.clip((values - center) / width + 0.5, 0, 1)


def _sigmoid(values: Values, center: float, width: float) -> Values:
    """DICOM PS3.3, C.11.2.1.3.1."""
    return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))


FUNCTIONS = {"LINEAR": _linear, "LINEAR_EXACT": _linear_exact, "SIGMOID": _sigmoid}


def _without_padding(table: Gray, dataset: Dataset, stored: NDArray[np.int64]) -> Gray:
    """Return the table with the values that pad a film black: they measure nothing, whatever the polarity."""
    value = number(dataset, "PixelPaddingValue")
    if value is None:
        return table
    limit = number(dataset, "PixelPaddingRangeLimit")
    # the value may be written as unsigned where the pixels are signed: it is taken as the pattern of bits it is
    ends = [stored[int(one) & (len(stored) - 1)] for one in (value, value if limit is None else limit)]
    return np.where((stored >= min(ends)) & (stored <= max(ends)), np.uint8(0), table)
