"""What the audit keeps of a film in the frame, where it looks at some films as a network would see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from stages.films import pooled, traces
from stages.films.frame import Frame, Gray
from stages.films.placement import Placement, Policy, fit, place

SPECIMEN = np.dtype(
    [
        ("traces", np.float32, (len(traces.NAMES),)),
        ("border", np.float32, (4 * pooled.SIDE,)),  # grey levels along the edges
        ("pixels", np.uint8, (pooled.SIDE**2,)),  # grey levels of 28 x 28 equal parts
        ("scale", np.float32, (2,)),  # log2 of the pixels of the frame per pixel of the film, across and down
    ]
)


@dataclass(frozen=True, slots=True)
class Aim:
    """The frame, and the policy by which films come into it."""

    frame: Frame
    policy: Policy

    def specimen(self, image: Image.Image) -> bytes:
        """Return what is kept of a decoded film."""
        placement = place(Frame(height=image.height, width=image.width), frame=self.frame, policy=self.policy)
        return specimen(fit(image, placement), placement)


def specimen(image: Gray, placement: Placement) -> bytes:
    """Return what is kept of a film in the frame: a SPECIMEN's bytes."""
    found = np.zeros((), SPECIMEN)
    found["traces"] = traces.traces(image, placement)
    found["border"] = pooled.border(image)
    found["pixels"] = np.rint(pooled.cells(image))
    found["scale"] = np.log2([placement.scale_x, placement.scale_y])
    return found.tobytes()
