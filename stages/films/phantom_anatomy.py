"""The shapes of a phantom chest, as polygons in units of half a thorax.

x runs to the right of the image (the patient's left) from the midline; the ribs' outer edge is near 1.
y runs down from the top of the lungs; the diaphragm is near 1, whatever the film's height.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]  # (n, 2), x and y

RIGHT_LUNG, LEFT_LUNG = -1, 1  # sides of the image: the patient faces us
INNER_X = 0.12  # where the lungs end at the spine
APEX_X = 0.36
ROUNDNESS = 2.3  # exponent of the lungs' outer wall: 2 is an ellipse


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What all films of one patient share.

    Attributes:
        lung_height: of the lungs, in units of half a thorax.
        lung_share: of the film's height that the lungs take where they can.
        half_view: half the width of the film.
        midline: how far right of the film's middle the spine lies, in film widths.
        spare_above: the share of the film's spare height that lies above the lungs.
        lean_deg: how askew the patient usually lies.
        flesh: how far the trunk reaches beyond the ribs.
        arm_lift: y of the elbows.
        head_y: y of the middle of the head.
        heart: half its length.
        heart_tilt: in radians.
        thymus: half the width of the upper mediastinum.
        ribs: how many pairs.
        rib_drop: how far they run down.
        rib_width: of a rib.
        dome: height of the diaphragm's domes.
        left_drop: how much lower the left dome lies.
        spine_bend: how far the spine leaves the midline.
        stomach: radius of the air bubble in the stomach, if any.
        clavicle_lift: how much higher the clavicles end than they begin.
    """

    lung_height: float
    lung_share: float
    half_view: float
    midline: float
    spare_above: float
    lean_deg: float
    flesh: float
    arm_lift: float
    head_y: float
    heart: float
    heart_tilt: float
    thymus: float
    ribs: int
    rib_drop: float
    rib_width: float
    dome: float
    left_drop: float
    spine_bend: float
    stomach: float
    clavicle_lift: float


def anatomy(words: np.random.Generator) -> Anatomy:
    """Return a patient made up of random numbers."""
    return Anatomy(
        lung_height=words.uniform(1.05, 1.55),
        lung_share=words.uniform(0.52, 0.72),
        half_view=words.uniform(1.06, 1.42),
        midline=words.uniform(-0.035, 0.035),
        spare_above=words.uniform(0.38, 0.64),
        lean_deg=words.uniform(-4, 4),
        flesh=words.uniform(0.05, 0.22),
        arm_lift=words.uniform(-0.5, 0.9),
        head_y=words.uniform(-1.0, -0.62),
        heart=words.uniform(0.36, 0.52),
        heart_tilt=words.uniform(0.35, 0.85),
        thymus=words.uniform(0.15, 0.27),
        ribs=int(words.integers(8, 12)),
        rib_drop=words.uniform(0.2, 0.5),
        rib_width=words.uniform(0.042, 0.06),
        dome=words.uniform(0.14, 0.32),
        left_drop=words.uniform(-0.02, 0.08),
        spine_bend=words.uniform(-0.06, 0.06),
        stomach=max(0.0, words.uniform(-0.12, 0.2)),
        clavicle_lift=words.uniform(0.0, 0.28),
    )


def ellipse(x: float, y: float, half_width: float, half_height: float, turn: float = 0.0) -> Points:
    """Return an ellipse about a centre, turned clockwise by radians."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    across, down = half_width * np.cos(angle), half_height * np.sin(angle)
    return np.stack(
        [x + across * np.cos(turn) - down * np.sin(turn), y + across * np.sin(turn) + down * np.cos(turn)],
        axis=1,
    )


def ribbon(line: Points, width: float) -> Points:
    """Return the outline of a band of a width along a line."""
    along = np.gradient(line, axis=0)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1)
    aside *= (width / 2) / np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    return np.concatenate([line + aside, (line - aside)[::-1]])


def points(*pairs: tuple[float, float]) -> Points:
    """Return pairs of x and y as points."""
    return np.array(pairs, np.float64)


def mirrored(shape: Points, side: int) -> Points:
    """Return a shape that was drawn at the image's right, on a side."""
    return np.asarray(shape * np.array([side, 1.0]), np.float64)


def trunk(patient: Anatomy) -> list[Points]:
    """Return trunk, neck, head and arms."""
    wide = 1.03 + patient.flesh
    half = points(
        (0.27, -1.6), (0.27, -0.42), (0.55, -0.3), (1.05, -0.22), (1.24, -0.08), (1.2, 0.2),
        (wide, 0.5), (wide, 1.0), (wide - 0.05, 1.4), (wide, 2.6),
    )  # fmt: skip
    outline = np.concatenate([half, mirrored(half, -1)[::-1]])
    return [outline, ellipse(0, patient.head_y - 0.4, 0.42, 0.5), *arms(patient, width=0.36)]


def arms(patient: Anatomy, *, width: float) -> list[Points]:
    """Return both upper arms, or their bones where the width is that of a bone."""
    line = np.linspace(points((1.16, -0.06))[0], points((2.3, patient.arm_lift * 1.6))[0], 12)
    return [mirrored(ribbon(line, width), side) for side in (RIGHT_LUNG, LEFT_LUNG)]


def diaphragm_y(patient: Anatomy, side: int) -> float:
    """Return how low the top of the dome lies."""
    return 1.0 + (patient.left_drop if side == LEFT_LUNG else 0.0)


def wall_x(patient: Anatomy, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far out the lungs reach at a height."""
    bottom = 1.0 + patient.dome
    depth = np.clip((bottom - y) / bottom, 0, 1)
    return APEX_X + (0.94 - APEX_X) * (1 - depth**ROUNDNESS) ** (1 / ROUNDNESS)


def lung(patient: Anatomy, side: int) -> Points:
    """Return the outline of a lung: apex, outer wall, dome, inner wall."""
    dome_y = diaphragm_y(patient, side)
    bottom = dome_y + patient.dome
    down = bottom * (1 - np.cos(np.linspace(0, np.pi / 2, 24)))
    outer = np.stack([wall_x(patient, down * (1 + patient.dome) / bottom), down], axis=1)
    x = np.linspace(0.94, INNER_X, 24)
    fall = np.maximum((x - 0.5) / 0.44, 0) ** 2.2 + 0.15 * np.maximum((0.5 - x) / 0.38, 0) ** 2
    base = np.stack([x, dome_y + patient.dome * fall], axis=1)
    turn = np.linspace(0, np.pi / 2, 12)
    inner = np.stack([APEX_X - (APEX_X - INNER_X) * np.sin(turn), 0.4 * (1 - np.cos(turn))], axis=1)[::-1]
    return mirrored(np.concatenate([outer, base, inner]), side)


def spine_x(patient: Anatomy, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the spine runs at a height."""
    return patient.spine_bend * np.sin(2.2 * y)


def spine(patient: Anatomy, width: float) -> Points:
    """Return the spine as a band."""
    y = np.linspace(-1.2, 2.4, 40)
    return ribbon(np.stack([spine_x(patient, y), y], axis=1), width)


def vertebrae(patient: Anatomy) -> list[Points]:
    """Return the vertebral bodies, one per rib pair and as many above and below as a film may show."""
    pitch = 1.12 / patient.ribs
    tops = np.arange(-8.0, patient.ribs + 8.0, dtype=np.float64) * pitch
    centres = zip(spine_x(patient, tops), tops, strict=True)
    return [np.array([x, y]) + 0.5 * points(*_box(0.17, 0.74 * pitch)) for x, y in centres]


def _box(width: float, height: float) -> Iterable[tuple[float, float]]:
    return (
        (-width, -height),
        (width, -height),
        (0.9 * width, 0.0),
        (width, height),
        (-width, height),
        (-0.9 * width, 0.0),
    )


def mediastinum(patient: Anatomy) -> list[Points]:
    """Return the great vessels and the thymus: what lies between the lungs above the heart."""
    half = points(
        (0.16, -0.5),
        (0.13, 0.0),
        (patient.thymus, 0.3),
        (patient.thymus, 0.55),
        (0.17, 0.95),
        (0.24, 1.12),
        (0.2, 1.4),
    )
    return [np.concatenate([half, mirrored(half, -1)[::-1]]), ellipse(0.13, 0.3, 0.1, 0.1)]


def heart(patient: Anatomy) -> list[Points]:
    """Return the left ventricle and the right atrium."""
    size = patient.heart
    return [
        ellipse(0.36 * size, 1.0 - 0.55 * size, size, 0.72 * size, patient.heart_tilt),
        ellipse(-0.22 * size, 0.98 - 0.5 * size, 0.48 * size, 0.62 * size),
    ]


def posterior_ribs(patient: Anatomy) -> list[Points]:
    """Return the lines of the ribs from the spine to the wall, upper ribs first, right before left."""
    turn = np.linspace(0, np.pi / 2, 20)
    lines = []
    for start in _rib_starts(patient):
        end = float(wall_x(patient, np.array(start + patient.rib_drop))) + 0.03
        x = 0.09 + (end - 0.09) * np.sin(turn)
        y = start - 0.05 * np.sin(2 * turn) + patient.rib_drop * (1 - np.cos(turn))
        lines += [mirrored(np.stack([x, y], axis=1), side) for side in (RIGHT_LUNG, LEFT_LUNG)]
    return lines


def anterior_ribs(patient: Anatomy) -> list[Points]:
    """Return the lines of the ribs from the wall towards the breastbone, where cartilage begins."""
    turn = np.linspace(0, np.pi / 2, 20)[:16]
    lines = []
    for start in _rib_starts(patient)[: patient.ribs - 2]:
        side_y = start + patient.rib_drop
        end = float(wall_x(patient, np.array(side_y))) + 0.03
        x = 0.3 + (end - 0.3) * np.cos(turn)
        y = side_y + 0.9 * patient.rib_drop * np.sin(turn)
        lines += [mirrored(np.stack([x, y], axis=1), side) for side in (RIGHT_LUNG, LEFT_LUNG)]
    return lines


def _rib_starts(patient: Anatomy) -> list[float]:
    return [-0.1 + index * 1.12 / patient.ribs for index in range(patient.ribs)]


def clavicles(patient: Anatomy) -> list[Points]:
    """Return both collar bones as bands."""
    x = np.linspace(0.12, 1.12, 24)
    y = 0.06 - patient.clavicle_lift * (x - 0.12) - 0.05 * np.sin(2 * np.pi * (x - 0.12))
    return [mirrored(ribbon(np.stack([x, y], axis=1), 0.07), side) for side in (RIGHT_LUNG, LEFT_LUNG)]


def shoulder_blades() -> list[Points]:
    """Return both shoulder blades."""
    blade = points((0.92, -0.05), (1.2, -0.02), (1.08, 0.4), (0.96, 0.62), (0.9, 0.3))
    return [mirrored(blade, side) for side in (RIGHT_LUNG, LEFT_LUNG)]


def vessels(words: np.random.Generator, side: int, count: int) -> list[Points]:
    """Return branches from the hilum into the lung, thinning out."""
    hilum = points((0.2, 0.48))[0]
    branches = []
    for angle in np.linspace(-1.35, 1.25, count) + words.uniform(-0.12, 0.12, count):
        reach, bend = words.uniform(0.35, 0.62), words.uniform(-0.35, 0.35)
        along = np.linspace(0, 1, 10)
        heading = angle + bend * along
        line = hilum + reach * np.stack([along * np.cos(heading), along * np.sin(heading)], axis=1)
        width = words.uniform(0.018, 0.034) * (1 - 0.85 * along)
        normal = np.stack([-np.sin(heading), np.cos(heading)], axis=1) * width[:, None] / 2
        branches.append(mirrored(np.concatenate([line + normal, (line - normal)[::-1]]), side))
    return branches


def blob(words: np.random.Generator, x: float, y: float, radius: float) -> Points:
    """Return an irregular round patch."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    waves = sum(
        words.uniform(0.05, 0.2) / wave * 2 * np.cos(wave * angle + words.uniform(0, 2 * np.pi)) for wave in (2, 3, 5)
    )
    reach = radius * (1 + waves)
    return np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1)
