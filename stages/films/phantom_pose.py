"""How a phantom's film is taken: what differs between two films of one patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.films.phantom_plan import PhantomFilm, keyed


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """What differs between two films of one patient.

    Attributes:
        tilt_deg: how askew the patient lies.
        zoom: size of the chest, in that of the patient's usual films.
        shift_x: how far right of where the patient's films usually show it the chest lies, in film widths.
        shift_y: how far below it, in film widths.
        breath: height of the lungs, in that of the patient's usual breath.
        gamma: of the exposure; above 1 is darker.
        gain: brightness of the densest bone, as a share of white.
        fog: grey level of air outside the body.
        collimated: width of the black border at left, top, right, bottom, in film widths.
        grain: amplitude of the noise in grey levels.
        marker: the burnt-in letter, if any.
    """

    tilt_deg: float
    zoom: float
    shift_x: float
    shift_y: float
    breath: float
    gamma: float
    gain: float
    fog: float
    collimated: tuple[float, ...]
    grain: float
    marker: str


def pose(words: np.random.Generator, *, lettered: bool = True) -> Pose:
    """Return how one film is taken, by numbers that are the same for a film without a letter."""
    collimated = words.uniform(0.01, 0.045, 4) * (words.random(4) < 0.05)
    return Pose(
        tilt_deg=float(np.clip(words.normal(0, 1.5), -4, 4)),
        zoom=words.uniform(0.98, 1.02),
        shift_x=words.uniform(-0.01, 0.01),
        shift_y=words.uniform(-0.01, 0.01),
        breath=words.uniform(0.97, 1.03),
        gamma=words.uniform(0.95, 1.6),
        gain=words.uniform(0.86, 0.98),
        fog=words.uniform(2, 14),
        collimated=tuple(float(border) for border in collimated),
        grain=words.uniform(2.0, 4.0),
        marker=str(words.choice(["R", "L", ""], p=[0.75, 0.1, 0.15])) if lettered else "",
    )


def lettered(film: PhantomFilm) -> bool:
    """Return whether a film may carry a letter: on one with a faulty picture the fault is all there is to find."""
    return not film.flags


def letter(film: PhantomFilm, *, seed: int) -> str:
    """Return the letter that a film carries, if any."""
    words = keyed(seed, "film", film.likeness.group, film.film)
    return pose(words, lettered=lettered(film) and film.expected_status != "blank").marker
