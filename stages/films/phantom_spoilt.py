"""What a planted fault does to a phantom's picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Frame, Gray
from stages.films.phantom_canvas import as_bytes
from stages.films.phantom_faults import cropped_px
from stages.films.phantom_plan import Fault

Colours = NDArray[np.uint8]  # (height, width, 3), red, green and blue

CONTRAST_LEFT = 0.2  # of a film's own contrast, where it is low
BURNT_OUT = 0.3  # share of a film that its exposure drives to white
BORDER = 0.2  # width of the bars at left and right, of the film's width
BRIGHTER = (1.08, 4)  # gain and offset of a copy that is a little brighter
WORDS = ("PORTABLE AP", "SUPINE 90KV", "02:15 ROOM 4")


def spoilt(image: Gray, fault: Fault | None, frame: Frame, words: np.random.Generator) -> Gray:
    """Return the picture with its fault, of the size that its file has."""
    return _SPOILERS[fault](image, frame, words) if fault in _SPOILERS else image


def _blank(_image: Gray, frame: Frame, words: np.random.Generator) -> Gray:
    return np.full((frame.height, frame.width), int(words.integers(256)), np.uint8)


def _inverted(image: Gray, _frame: Frame, _words: np.random.Generator) -> Gray:
    return 255 - image


def _turned(quarters: int) -> Callable[[Gray, Frame, np.random.Generator], Gray]:
    """Return what turns a picture clockwise."""
    return lambda image, _frame, _words: np.ascontiguousarray(np.rot90(image, -quarters))


def _low_contrast(image: Gray, _frame: Frame, _words: np.random.Generator) -> Gray:
    middle = image.mean()
    return as_bytes(middle + CONTRAST_LEFT * (image - middle))


def _clipped(image: Gray, _frame: Frame, _words: np.random.Generator) -> Gray:
    return as_bytes(image * (255 / max(1.0, np.quantile(image, 1 - BURNT_OUT))))


def _burnt_in(image: Gray, frame: Frame, words: np.random.Generator) -> Gray:
    """Return the picture with lines of text in one of its corners."""
    marked, size = image.copy(), max(8.0, 0.032 * frame.height)  # pixels; below, nobody could read it
    scale, thick = size / 22, max(1, round(size / 9))  # the font's capitals are 22 pixels high
    left = round(words.choice([0.03, 0.62]) * frame.width)
    top = 0.06 if words.random() < 0.5 else 0.82
    for line, text in enumerate(WORDS):
        place = (left, round(top * frame.height + 1.7 * size * (line + 1)))
        for level, stroke in ((0, thick + 2), (250, thick)):  # bright letters in a dark outline, readable anywhere
            cv2.putText(marked, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, level, stroke, cv2.LINE_AA)
    return marked


def _bordered(image: Gray, frame: Frame, _words: np.random.Generator) -> Gray:
    wide, framed = round(BORDER * frame.width), image.copy()
    framed[:, :wide] = framed[:, frame.width - wide :] = 0
    return framed


def _resized(image: Gray, frame: Frame, _words: np.random.Generator) -> Gray:
    return np.asarray(cv2.resize(image, (frame.width, frame.height), interpolation=cv2.INTER_AREA), np.uint8)


def _brightened(image: Gray, _frame: Frame, _words: np.random.Generator) -> Gray:
    gain, offset = BRIGHTER
    return as_bytes(gain * image.astype(np.float32) + offset)


def _cropped(image: Gray, _frame: Frame, _words: np.random.Generator) -> Gray:
    top, left = (cropped_px(side) for side in image.shape)
    return image[top : image.shape[0] - top, left : image.shape[1] - left].copy()


def _flipped(image: Gray, _frame: Frame, _words: np.random.Generator) -> Gray:
    return np.ascontiguousarray(image[:, ::-1])


_SPOILERS: Mapping[Fault | None, Callable[[Gray, Frame, np.random.Generator], Gray]] = MappingProxyType(
    {
        "blank": _blank,
        "inverted": _inverted,
        "rotated_90": _turned(1),
        "rotated_180": _turned(2),
        "rotated_270": _turned(3),
        "low_contrast": _low_contrast,
        "clipped": _clipped,
        "burnt_in": _burnt_in,
        "black_border": _bordered,
        "near_resized": _resized,
        "near_brightened": _brightened,
        "near_cropped": _cropped,
        "near_flipped": _flipped,
    }
)


def photograph(frame: Frame, words: np.random.Generator) -> Colours:
    """Return a landscape in colour: sky, sun, hills, a meadow and trees."""
    height, width = frame.height, frame.width
    down = np.linspace(0, 1, height)[:, None, None]
    sky = (np.array([70, 130, 215]) * (1 - down) + np.array([205, 225, 245]) * down) * np.ones((1, width, 1))
    scene = as_bytes(sky)
    cv2.circle(scene, (round(words.uniform(0.15, 0.85) * width), round(0.2 * height)), height // 9, (250, 225, 110), -1)
    for layer, colour in enumerate([(88, 122, 96), (70, 140, 60), (110, 165, 50)]):
        across = np.linspace(0, 1, 24)
        hills = 0.5 + 0.16 * layer + 0.07 * np.sin(2 * np.pi * (words.uniform(1, 2.5) * across + words.random()))
        line = np.stack([across * width, hills * height], axis=1)
        outline = np.concatenate([line, [[width, height], [0, height]]])
        cv2.fillPoly(scene, [np.rint(outline).astype(np.int32)], colour)
    for x, y in words.uniform((0.05, 0.72), (0.95, 0.95), (7, 2)):
        foot = np.array([x * width, y * height])
        crown = np.array([[-0.035, -0.05], [0.035, -0.05], [0, -0.22]]) * height + foot
        cv2.fillPoly(scene, [np.rint(crown).astype(np.int32)], (24, 84, 36))
        cv2.line(
            scene, (round(foot[0]), round(foot[1])), (round(foot[0]), round(foot[1] - 0.05 * height)), (96, 60, 32), 2
        )
    grain = words.normal(0, 4, (height, width, 1))
    return as_bytes(scene + grain)


def screenshot(frame: Frame, words: np.random.Generator) -> Colours:
    """Return a window of some program: a title bar, lines of grey words on white, a button."""
    height, width = frame.height, frame.width
    page = np.full((height, width, 3), 240, np.uint8)
    bar, line = max(8, round(words.uniform(0.06, 0.12) * height)), max(6, round(words.uniform(0.035, 0.06) * height))
    side = words.uniform(0.08, 0.32)
    page[:bar] = (44, 62, 92)
    page[bar:, : round(side * width)] = (232, 236, 241)
    for top in range(bar + line, height - 3 * line, 2 * line):
        left = round((side + 0.05) * width)
        while left < 0.9 * width:
            right = left + round(words.uniform(0.03, 0.12) * width)
            page[top : top + line // 2, left : min(right, round(0.95 * width))] = 84
            left = right + max(3, round(0.012 * width))
    page[height - 2 * line : height - line // 2, round(0.78 * width) : round(0.94 * width)] = (40, 120, 220)
    return page
