"""What a trained network says of films that are in its frame already."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stages.learning import devices, prediction
from stages.learning.checkpoint import Checkpoint


def probabilities(known: Checkpoint, images: NDArray[np.uint8], device: str) -> NDArray[np.float32]:
    """Return the classes' probabilities, float32 (images, classes), as `evaluate` gets them.

    Args:
        known: the network, on the device.
        images: grey levels (images, height, width).
        device: `auto`, `cpu` or `cuda`.
    """
    there = devices.device_for(device)
    return prediction.predict(known.network, torch.from_numpy(images), mean=known.mean, std=known.std, device=there)
