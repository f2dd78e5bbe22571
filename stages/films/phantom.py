"""Synthetic chest films that look like X-rays at a glance: numbers in, grey levels and file bytes out.

A film is a sum of attenuations (flesh, bones, heart, less the air in the lungs), drawn at a moderate size,
turned into grey levels, enlarged, and given grain at the film's own size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import cv2
import numpy as np

from stages.films import phantom_anatomy as shapes
from stages.films.frame import Frame, Gray
from stages.films.phantom_anatomy import LEFT_LUNG, RIGHT_LUNG, Anatomy, Points
from stages.films.phantom_bytes import colour_bytes, gray_bytes
from stages.films.phantom_canvas import Canvas, Layer, as_bytes, blurred
from stages.films.phantom_plan import Fault, PhantomFilm, keyed
from stages.films.phantom_pose import Pose, lettered, pose
from stages.films.phantom_spoilt import Colours, photograph, screenshot, spoilt

DRAWN_SIDE_PX = 640  # longer side of the drawing; larger films are enlarged from it
SCENES: Mapping[Fault | None, Callable[[Frame, np.random.Generator], Colours]] = MappingProxyType(
    {"photograph": photograph, "screenshot": screenshot}
)


def draw(film: PhantomFilm, *, seed: int) -> Gray:
    """Return the picture of a film: a function of the seed and of the film's patient, number and size."""
    group = film.likeness.group
    patient = shapes.anatomy(keyed(seed, "anatomy", group))
    words = keyed(seed, "film", group, film.film)
    taken = pose(words, lettered=lettered(film))
    canvas = _canvas(patient, taken, film.frame)
    air = _air(canvas, patient) * (1 - _opacity(canvas, film, seed, words))
    small = _exposed(_attenuation(canvas, patient, air, words), canvas, taken)
    large = cv2.resize(small, (film.frame.width, film.frame.height), interpolation=cv2.INTER_CUBIC)
    return _with_marker(_with_grain(np.asarray(large, np.uint8), taken, words), taken, words)


def file_bytes(film: PhantomFilm, *, seed: int) -> bytes:
    """Return what the film's file holds, its planted fault included."""
    words = keyed(seed, "fault", film.path)
    if film.fault == "empty":
        return b""
    if film.fault in SCENES:
        return colour_bytes(SCENES[film.fault](film.frame, words), film.quality)
    upright = film if film.drawn is None else replace(film, frame=film.drawn)
    return gray_bytes(spoilt(draw(upright, seed=seed), film.fault, film.frame, words), film)


def _canvas(patient: Anatomy, taken: Pose, film: Frame) -> Canvas:
    """Return where the chest lies: as wide as the patient's, and as high as the film lets it be."""
    scale = min(1.0, DRAWN_SIDE_PX / max(film.height, film.width))
    frame = Frame(height=max(1, round(film.height * scale)), width=max(1, round(film.width * scale)))
    unit_px = taken.zoom * frame.width / 2 / patient.half_view
    natural_px = patient.lung_height * unit_px
    wanted_px = np.clip(patient.lung_share * frame.height, 0.8 * natural_px, 1.15 * natural_px)
    lungs_px = min(taken.breath * float(wanted_px), 0.86 * frame.height)
    turn = np.deg2rad(patient.lean_deg + taken.tilt_deg)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([unit_px, lungs_px])
    shift = np.array([patient.midline + taken.shift_x, taken.shift_y]) * frame.width
    middle = [frame.width / 2, patient.spare_above * (frame.height - lungs_px) + lungs_px / 2]
    offset = middle + shift - turned @ np.array([0.0, 0.5])
    return Canvas(frame, np.column_stack([turned, offset]), unit_px)


def _air(canvas: Canvas, patient: Anatomy) -> Layer:
    """Return how much air each pixel shows: lungs, less what lies before and behind them."""
    lungs = canvas.filled([shapes.lung(patient, side) for side in (RIGHT_LUNG, LEFT_LUNG)], soft=0.012)
    deep = canvas.filled([shapes.lung(patient, side) for side in (RIGHT_LUNG, LEFT_LUNG)], soft=0.12)
    heart = canvas.filled(shapes.heart(patient), soft=0.022)
    middle = canvas.filled(shapes.mediastinum(patient), soft=0.02)
    return np.asarray(lungs * (0.6 + 0.4 * deep) * (1 - 0.93 * np.maximum(heart, middle)), np.float32)


def _opacity(canvas: Canvas, film: PhantomFilm, seed: int, words: np.random.Generator) -> Layer:
    """Return the share of the air that illness has filled."""
    # of two files of the same bytes, whose names contradict one another on purpose, the picture knows one illness
    label = film.likeness.label if film.fault == "label_conflict" else film.label
    if label == "bacterial":
        return _consolidations(canvas, keyed(seed, "illness", film.likeness.group), words)
    if label == "viral":
        return _haze(canvas, words)
    return np.zeros((canvas.frame.height, canvas.frame.width), np.float32)


def _consolidations(canvas: Canvas, of_patient: np.random.Generator, words: np.random.Generator) -> Layer:
    """Return one or two dense patches: a lobe full of pus; the patient decides where, the film how much."""
    filled: Layer = np.zeros((canvas.frame.height, canvas.frame.width), np.float32)
    first_side = int(of_patient.choice([RIGHT_LUNG, LEFT_LUNG]))
    for index in range(1 + int(of_patient.random() < 0.35)):
        side = first_side * (1 - 2 * index)
        x, y = side * of_patient.uniform(0.42, 0.66), of_patient.uniform(0.25, 0.88)
        radius = of_patient.uniform(0.24, 0.36) * words.uniform(0.9, 1.1)
        patch = canvas.filled([shapes.blob(words, x, y, radius)], soft=words.uniform(0.025, 0.07))
        filled = np.maximum(filled, patch * words.uniform(0.66, 0.9))
    return filled * (0.88 + 0.12 * _mottle(canvas, words, 0.03))


def _haze(canvas: Canvas, words: np.random.Generator) -> Layer:
    """Return haze about both hila and a net of thickened tissue all over: a virus in the interstitium."""
    hila = [shapes.blob(words, side * 0.36, words.uniform(0.45, 0.6), 0.34) for side in (RIGHT_LUNG, LEFT_LUNG)]
    haze = words.uniform(0.4, 0.55) * canvas.filled(hila, soft=0.16)
    net = np.clip(0.75 - np.abs(_mottle(canvas, words, 0.022)) + 0.25 * _mottle(canvas, words, 0.05), 0, 1)
    all_over = words.uniform(0.18, 0.28) * net + words.uniform(0.08, 0.16)
    return np.asarray(np.clip(haze + all_over, 0, 0.9), np.float32)


def _mottle(canvas: Canvas, words: np.random.Generator, size: float) -> Layer:
    """Return noise of a grain size in half thoraxes, mostly between -1 and 1."""
    noise = words.standard_normal((canvas.frame.height, canvas.frame.width), np.float32)
    sigma = max(0.8, size * canvas.unit_px)
    smooth = blurred(noise, sigma) - blurred(noise, 2.2 * sigma)
    return np.asarray(np.clip(smooth / (2 * smooth.std() + 1e-6), -1.5, 1.5), np.float32)


def _attenuation(canvas: Canvas, patient: Anatomy, air: Layer, words: np.random.Generator) -> Layer:
    """Return what stands between tube and film: 0 is air, about 1 the spine behind the heart."""
    flesh = canvas.filled(shapes.trunk(patient), soft=0.04)
    body = flesh * (0.3 + 0.7 * canvas.filled(shapes.trunk(patient)[:1], soft=0.3))
    belly = canvas.filled([_belly(patient)], soft=0.16)
    branches = [branch for side in (RIGHT_LUNG, LEFT_LUNG) for branch in shapes.vessels(words, side, 16)]
    vessels = 0.08 * canvas.filled(branches) * np.clip(4 * air, 0, 1)
    total = 0.55 * body + 0.12 * belly - 0.42 * air + vessels
    total += 0.05 * canvas.filled(shapes.heart(patient), soft=0.06)
    total += _bones(canvas, patient)
    return np.asarray(total - _hollows(canvas, patient), np.float32)


def _belly(patient: Anatomy) -> Points:
    return shapes.points(
        (-1.3, 1.0), (-0.5, 1.0), (0, 1.1), (0.5, 1 + patient.left_drop), (1.3, 1.1), (1.3, 3), (-1.3, 3)
    )


def _bones(canvas: Canvas, patient: Anatomy) -> Layer:
    """Return spine, ribs, collar bones, shoulder blades, arm bones and skull."""
    behind = [shapes.ribbon(line, patient.rib_width) for line in shapes.posterior_ribs(patient)]
    before = [shapes.ribbon(line, 1.15 * patient.rib_width) for line in shapes.anterior_ribs(patient)]
    collar = shapes.clavicles(patient)
    ribs = 0.085 * canvas.filled(behind) + 0.07 * canvas.edges(behind) + 0.05 * canvas.filled(before)
    spine = 0.14 * canvas.filled([shapes.spine(patient, 0.26)], soft=0.03)
    spine += 0.07 * canvas.filled(shapes.vertebrae(patient), soft=0.012)
    rest = 0.09 * canvas.filled(collar) + 0.06 * canvas.edges(collar)
    rest += 0.05 * canvas.filled(shapes.shoulder_blades(), soft=0.02)
    rest += 0.16 * canvas.filled(shapes.arms(patient, width=0.13), soft=0.02)
    rest += 0.3 * canvas.filled([shapes.ellipse(0, patient.head_y - 0.4, 0.4, 0.48)], soft=0.02)
    return np.asarray(ribs + spine + rest, np.float32)


def _hollows(canvas: Canvas, patient: Anatomy) -> Layer:
    """Return the air outside the lungs: the windpipe and the bubble in the stomach."""
    pipe = shapes.points((-0.05, -0.6), (0.05, -0.6), (0.05, 0.3), (-0.05, 0.3))
    bubble = shapes.ellipse(0.5, 1.16 + patient.left_drop + patient.stomach, 1.6 * patient.stomach, patient.stomach)
    return 0.06 * canvas.filled([pipe], soft=0.02) + 0.16 * canvas.filled([bubble], soft=0.02)


def _exposed(attenuation: Layer, canvas: Canvas, taken: Pose) -> Gray:
    """Return grey levels: bone bright, air dark, and black where the beam was stopped."""
    light = np.clip(attenuation / 0.95, 0, 1.15) ** taken.gamma
    light = 1 - np.exp(-1.9 * light)
    gray = taken.fog + (255 * taken.gain / 0.85 - taken.fog) * light
    left, top, right, bottom = (round(border * canvas.frame.width) for border in taken.collimated)
    beam = np.zeros_like(gray)
    beam[top : canvas.frame.height - bottom, left : canvas.frame.width - right] = 1
    return as_bytes(gray * blurred(beam, 1.0))


def _with_grain(image: Gray, taken: Pose, words: np.random.Generator) -> Gray:
    """Return the image with noise that no enlargement has smoothed."""
    noise: Gray = np.frombuffer(words.bytes(image.size), np.uint8).reshape(image.shape)
    strength = taken.grain / 74  # 74 is the standard deviation of a random byte
    return np.asarray(cv2.addWeighted(image, 1.0, noise, strength, -127.5 * strength), np.uint8)


def _with_marker(image: Gray, taken: Pose, words: np.random.Generator) -> Gray:
    """Return the image with the burnt-in letter that tells the patient's sides."""
    if not taken.marker:
        return image
    height, width = image.shape
    across = words.uniform(0.02, 0.09) if taken.marker == "R" else words.uniform(0.86, 0.93)
    origin = (round(across * width), round(words.uniform(0.1, 0.3) * height))
    scale, thickness = height / 500, max(1, round(height / 220))
    marked = image.copy()
    cv2.putText(marked, taken.marker, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 245, thickness, cv2.LINE_AA)
    return marked
