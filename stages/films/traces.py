"""What compression, rescaling and processing leave in a film's normalized pixels: numbers that know no shapes.

Lungs, ribs and hearts lie in low frequencies; what a codec and a resize do lies in high ones. So each number is made of
what is left when a film's low frequencies are gone, and most are ratios that a brighter or flatter film would not
change. Fine texture is in them, whatever it comes from: a codec, a scanner, sharpening, or the lung itself.

- band 1 to 9: log10 of the mean power in rings of radial frequency from 0.1 cycles per pixel to the corner, less that
  of all of them together (a codec's quantizer empties the upper ones first, a resize shapes them);
- level: log10 of the power of all of them together;
- across / down: log10 of the power of the upper frequencies along x over that along y (a squeeze scales them apart);
- grid x, grid y: the wave along which a codec's blocks of 8 pixels meet after the resize, in the profile of absolute
  second differences, in SDs of the waves beside it; 0 where the resize wipes it out;
- noise: log10 of the median absolute Laplacian (after Immerkaer, Computer Vision and Image Understanding 64, 1996);
- tail: log10 of its mean over its median (edges and blocks against even grain);
- flat x, flat y: share of neighbours with the same grey level, across and down;
- comb: mean of |h(g) - (h(g-1) + h(g+1)) / 2| over the mean of h, of the grey levels' histogram h between its 5th and
  95th percentile (a table or few levels leave a comb);
- gaps: share of grey levels between these that no pixel has;
- next x, next y, next but one: correlation of the film less its 3 x 3 means with itself, shifted by one pixel across,
  one down, two either way (what a resize smooths, it correlates).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Gray
from stages.films.geometry import Box
from stages.films.placement import Placement

BANDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.7072)  # radial frequency, cycles per pixel
NAMES = (
    *(f"band {number}" for number in range(1, len(BANDS))),
    *("level", "across / down", "grid x", "grid y", "noise", "tail", "flat x", "flat y", "comb", "gaps"),
    *("next x", "next y", "next but one"),
)
BLOCKS = tuple(NAMES.index(name) for name in ("grid x", "grid y", "comb", "gaps"))  # what no lung leaves
LARGEST_TILE = (
    192  # pixels: of a larger frame the middle is looked at; all of it takes twice as long, and tells as much
)
SMALLEST_TILE = 16  # below, there are no frequencies to speak of
BLOCK = 8  # pixels of a JPEG's blocks
NEVER_ZERO = 1e-3  # power of a hundredth of a grey level: a flat film has a logarithm, too

Levels = NDArray[np.float32]


def traces(image: Gray, placement: Placement) -> NDArray[np.float32]:
    """Return a normalized film's traces, in the order of NAMES; NaN where too little of it shows.

    Args:
        image: in the frame.
        placement: how it came there. Where a margin is black, its edge is no trace: only film is looked at.
    """
    box = _middle(placement.shown)
    tile = image[box.top : box.bottom, box.left : box.right]
    if min(tile.shape) < SMALLEST_TILE:
        return np.full(len(NAMES), np.nan, np.float32)
    levels = tile.astype(np.float32)
    bent_x, bent_y = np.abs(np.diff(levels, 2, axis=1)), np.abs(np.diff(levels, 2, axis=0))
    return np.array(
        [
            *_spectrum(levels),
            _grid(bent_x.mean(axis=0), placement.scale_x, placement.left - box.left),
            _grid(bent_y.mean(axis=1), placement.scale_y, placement.top - box.top),
            *_noise(levels),
            float((tile[:, 1:] == tile[:, :-1]).mean()),
            float((tile[1:] == tile[:-1]).mean()),
            *_histogram(tile),
            *_neighbours(levels),
        ],
        np.float32,
    )


def _middle(shown: Box) -> Box:
    """Return the middle of what shows film, LARGEST_TILE at most each way."""
    height, width = shown.bottom - shown.top, shown.right - shown.left
    high, wide = min(height, LARGEST_TILE), min(width, LARGEST_TILE)
    top, left = shown.top + (height - high) // 2, shown.left + (width - wide) // 2
    return Box(left, top, left + wide, top + high)


def _spectrum(levels: Levels) -> list[float]:
    """Return log10 of the mean power in each band, less that of all bands; the latter; and across over down."""
    window, ring, across, down = _rings(*levels.shape)
    power = np.abs(np.fft.rfft2((levels - levels.mean()) * window)) ** 2 / levels.size
    sums = np.bincount(ring, weights=power.ravel(), minlength=len(BANDS) + 1)[1 : len(BANDS)]
    counts = np.bincount(ring, minlength=len(BANDS) + 1)[1 : len(BANDS)]
    level = _log(sums.sum() / max(counts.sum(), 1))
    bands = [_log(of_band / count) - level if count else 0.0 for of_band, count in zip(sums, counts, strict=True)]
    return [*bands, level, _log(float(power[across].mean())) - _log(float(power[down].mean()))]


@cache
def _rings(height: int, width: int) -> tuple[Levels, NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a Hann window, each frequency's band (0 below all), and the upper frequencies along x and along y."""
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    down, across = np.abs(np.fft.fftfreq(height))[:, None], np.fft.rfftfreq(width)[None, :]
    ring = np.searchsorted(BANDS, np.hypot(down, across), side="right")
    along_x = (across > 0.3) & (down < 0.1)
    along_y = (down > 0.3) & (across < 0.1)
    return window, ring.ravel(), along_x, along_y


def _grid(profile: Levels, scale: float, start: int) -> float:
    """Return how far a profile rises where a codec's blocks meet, in SDs of what it does at the frequencies beside.

    Args:
        profile: mean absolute second differences along one axis; the first is that about the tile's second pixel.
        scale: pixels of the frame per pixel of the raw film.
        start: where the raw film begins, in pixels from the tile's first.
    """
    frequency = 1 / (BLOCK * scale)
    if not 0.05 < frequency < 0.5:
        return 0.0
    # a pixel's middle is half a pixel from its edge, where blocks meet
    places = np.arange(len(profile)) + 1.5 - start
    centred = (profile - profile.mean()) * np.hanning(len(profile))
    reach = 1.5 / len(profile)  # the width of the window's main lobe
    frequencies = frequency + reach * np.array([0, -4, -3, -2, 2, 3, 4])
    waves = np.exp(-2j * np.pi * frequencies[:, None] * places) @ centred
    beside = float(np.sqrt((np.abs(waves[1:]) ** 2).mean() / 2))
    return float(waves[0].real) / (beside + NEVER_ZERO)


def _noise(levels: Levels) -> list[float]:
    """Return log10 of the squared median absolute Laplacian, and of the square of its mean over its median."""
    rows = levels[:-2] - 2 * levels[1:-1] + levels[2:]
    laplacian = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    # Of whole numbers: those that equal the median are taken to lie evenly from half below it to half above.
    counts = np.bincount(laplacian.ravel().astype(np.int64))
    summed = np.cumsum(counts)
    half = laplacian.size / 2
    at = int(np.searchsorted(summed, half))
    median = at + (half - (summed[at] - counts[at])) / max(int(counts[at]), 1) - 0.5
    noise = _log(max(0.0, median) ** 2)
    return [noise, _log(float(laplacian.mean()) ** 2) - noise]


def _histogram(tile: Gray) -> list[float]:
    """Return how far the histogram is a comb, and the share of grey levels in it that no pixel has."""
    counts = np.bincount(tile.ravel(), minlength=256)
    summed = np.cumsum(counts) / tile.size
    low, high = (int(np.searchsorted(summed, share)) for share in (0.05, 0.95))
    inside = counts[low : high + 1].astype(np.float64)
    if len(inside) < 3:
        return [0.0, 0.0]
    teeth = np.abs(inside[1:-1] - (inside[:-2] + inside[2:]) / 2).mean() / inside.mean()
    return [float(teeth), float((inside == 0).mean())]


def _neighbours(levels: Levels) -> list[float]:
    """Return how a film less its 3 x 3 means is correlated with itself, one pixel across, one down, two either way."""
    rows = levels[:-2] + levels[1:-1] + levels[2:]
    rest = levels[1:-1, 1:-1] - (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
    power = float(np.vdot(rest, rest)) / rest.size + NEVER_ZERO
    shifted = [
        (rest[:, 1:], rest[:, :-1]),
        (rest[1:], rest[:-1]),
        (rest[:, 2:], rest[:, :-2]),
        (rest[2:], rest[:-2]),
    ]
    x, y, x2, y2 = (float(np.vdot(one, other)) / one.size / power for one, other in shifted)
    return [x, y, (x2 + y2) / 2]


def _log(power: float) -> float:
    """Return log10 of a power, which may be 0."""
    return float(np.log10(power + NEVER_ZERO))
