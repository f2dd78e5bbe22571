"""What normalization costs under each policy: what is cut away, padded, enlarged and distorted, and whom it marks.

Of a film placed in the frame (`stages.films.placement`):

- lost_width, lost_height, lost: shares of the film's width, height and area that are cut away;
- padded: share of the frame that shows no film;
- scale_x, scale_y: pixels of the frame per pixel of the film; a film is enlarged where either exceeds 1;
- stretch: scale_x / scale_y; distortion: max(stretch, 1 / stretch) - 1.

What a policy does differently to two classes marks the pictures with the class. Its marks are

- padding: share of the frame's width that is black at the sides, less the share of its height above and below;
- framing: share of the film's width cut away, less the share of its height;
- shape: the stretch;
- size: the square root of scale_x x scale_y, that no policy takes away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.auditing.advice import advice
from stages.auditing.figures import by_split, judged_classes, nested, patients_of
from stages.columns import numbers
from stages.films.frame import Frame
from stages.films.placement import Policy
from stages.films.placements import RESIZES, Placements, place_all
from stages.statistics.tells import standardised_difference, tell

WORST = 12
OUTSKIRTS = 0.25  # share of a chest film that shows no lung: what is lost beyond it counts twice

Columns = NDArray[np.float64]  # (films,)

MARKS: Mapping[str, Callable[[Placements], Columns]] = {
    "padding": lambda placed: (
        _missing(placed.resized_width, placed.frame.width) - _missing(placed.resized_height, placed.frame.height)
    ),
    "framing": lambda placed: placed.lost_width - placed.lost_height,
    "shape": lambda placed: placed.stretch,
    "size": lambda placed: np.sqrt(placed.scale_x * placed.scale_y),
}
MARKS_OF: Mapping[Policy, tuple[str, ...]] = {
    "crop": ("padding", "framing", "size"),
    "cover": ("framing", "size"),
    "letterbox": ("padding", "size"),
    "squeeze": ("shape", "size"),
}


def costs(films: pa.Table, frame: Frame) -> dict[str, Any]:
    """Return what each policy costs, what it marks, whom it costs most, and which is recommended."""
    if not len(films):
        return {"costs": {"policies": {}, "recommendation": None}, "crop": {}}
    policies = {policy: _of_policy(films, frame, policy) for policy in RESIZES}
    return {"costs": {"policies": policies, "recommendation": advice(policies)}, "crop": nested(films, _of_2020)}


def placed(films: pa.Table, frame: Frame, policy: Policy) -> Placements:
    """Return where films come to lie under a policy."""
    width, height = (films.column(name).to_numpy() for name in ("width", "height"))
    return place_all(width, height, frame=frame, policy=policy)


def distortion(placements: Placements) -> Columns:
    """Return by how much each film is longer one way than it should be, for its length the other way."""
    return np.maximum(placements.stretch, 1 / placements.stretch) - 1


def _of_policy(films: pa.Table, frame: Frame, policy: Policy) -> dict[str, Any]:
    return {
        "by_class": nested(films, lambda some: _means(placed(some, frame, policy), policy)),
        "marks": {split: _marks(of_split, frame, policy) for split, of_split in by_split(films).items()},
        "worst": _worst(films, placed(films, frame, policy), policy),
    }


def _means(films: Placements, policy: Policy) -> dict[str, float]:
    rows: dict[str, NDArray[Any]] = {
        "lost_width": films.lost_width,
        "lost_height": films.lost_height,
        "lost": films.lost,
        "padded_films": films.padded > 0,
        "padded": films.padded,
        "enlarged_films": (films.scale_x > 1) | (films.scale_y > 1),
        "distortion": distortion(films),
        "cost": harm_of(films, policy),
    }
    means = {name: round(float(values.mean()), 4) for name, values in rows.items()}
    medians = {"scale_x": films.scale_x, "scale_y": films.scale_y, "stretch": films.stretch}
    return {**means, **{f"{name}_median": round(float(np.median(values)), 4) for name, values in medians.items()}}


def _marks(films: pa.Table, frame: Frame, policy: Policy) -> dict[str, Any]:
    """Return how far each mark of a policy tells each class from the rest."""
    placements, patients = placed(films, frame, policy), patients_of(films)
    label = films.column("label_index").to_numpy()
    found: dict[str, Any] = {}
    for mark in MARKS_OF[policy]:
        values = MARKS[mark](placements)
        of_class = {name: tell(values, label == index, patients) for name, index in judged_classes(films).items()}
        if any(of_class.values()):
            found[mark] = {
                "auc": {name: one.as_json() for name, one in of_class.items() if one is not None},
                "standardised_difference": round(standardised_difference(values, label), 3),
            }
    return found


def _worst(films: pa.Table, placements: Placements, policy: Policy) -> list[dict[str, Any]]:
    """Return the films that a policy costs most, the worst first, those of equal cost by path."""
    harm = harm_of(placements, policy)
    likely = np.flatnonzero(harm >= np.partition(harm, -min(WORST, len(harm)))[-WORST:].min())
    likely = likely[np.argsort(films.column("path").take(likely).to_numpy(), kind="stable")]
    worst = likely[np.argsort(-harm[likely], kind="stable")][:WORST]
    told = films.select(["path", "label", "delivered_split", "width", "height"]).take(worst).to_pylist()
    stretch = placements.stretch if policy == "squeeze" else np.ones(len(harm))
    return [
        {
            **film,
            "lost": round(float(placements.lost[at]), 4),
            "padded": round(float(placements.padded[at]), 4),
            "stretch": round(float(stretch[at]), 4),
        }
        for film, at in zip(told, worst, strict=True)
    ]


def harm_of(placements: Placements, policy: Policy) -> Columns:
    """Return what a policy costs each film: lost (beyond its outskirts twice), padded, and of a squeeze distorted."""
    lost = placements.lost
    harm = lost + np.maximum(0, lost - OUTSKIRTS) + placements.padded
    # the others keep the aspect, but for the rounding to whole pixels
    return harm + distortion(placements) if policy == "squeeze" else harm


def _missing(shown: NDArray[np.int64], side: int) -> Columns:
    return 1 - np.minimum(shown, side) / side


def _of_2020(films: pa.Table) -> dict[str, float]:
    lost, padded = (np.nan_to_num(numbers(films.column(name))) for name in ("crop_lost", "pad_added"))
    return {
        "lost_mean": round(float(lost.mean()), 4),
        "padded_share": round(float((padded > 0).mean()), 4),
        "pad_mean": round(float(padded.mean()), 4),
    }
