from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def test_what_films_look_like_has_not_changed(golden: Mapping[str, Any]) -> None:
    """Within one grey level; where a change is meant, `make golden` writes them anew and a person reads the diff."""
    for name, picture in golden["pictures"]().items():
        with Image.open(GOLDEN / name) as kept:
            difference = np.abs(picture.astype(int) - np.asarray(kept))
        assert difference.max() <= 1, f"{name}: {np.count_nonzero(difference > 1)} pixels, by up to {difference.max()}"


def test_every_golden_image_is_compared(golden: Mapping[str, Any]) -> None:
    """No image is kept that nothing makes."""
    assert {path.name for path in GOLDEN.glob("*.png")} == set(golden["pictures"]())


def test_golden_images_tell_the_policies_apart(golden: Mapping[str, Any]) -> None:
    """Were two alike, one policy could take the other's place unseen."""
    pictures = golden["pictures"]()
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures)
