"""What a network answers: logits of a set, and probabilities of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stages.learning.batches import standardised
from stages.learning.checkpoint import Checkpoint
from stages.learning.order import Places, in_order
from stages.learning.source import Resident, Source

Prepare: TypeAlias = Callable[[torch.Tensor], torch.Tensor]  # grey levels to what the network takes

SCORING_BATCH = 64  # nothing is kept for a backward pass, and network A still fits into 4 GB


def probabilities(known: Checkpoint, images: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """Return the classes' probabilities by a trained network, float32 (images, classes), as `evaluate` gets them.

    Args:
        known: the network, on the device.
        images: grey levels (images, height, width).
        device: where the network is.
    """
    return predict(known.network, torch.from_numpy(images), mean=known.mean, std=known.std, device=device)


def predict(
    network: nn.Module,
    images: torch.Tensor,
    *,
    mean: float,
    std: float,
    device: torch.device,
    batch_size: int = SCORING_BATCH,
) -> NDArray[np.float32]:
    """Return the classes' probabilities for each image (uint8), float32 (images, classes), in eval mode."""
    unlabelled = Resident(images, torch.zeros(len(images), dtype=torch.int64), images.device)
    prepare = partial(standardised, mean=mean, std=std, device=device)
    # an empty batch still has its columns, so that an empty split needs no special case
    parts = list(answers(network, unlabelled, in_order(len(images), batch_size), prepare))
    logits = torch.cat(parts) if parts else answer(network, prepare(images))
    probabilities: NDArray[np.float32] = logits.softmax(dim=1).numpy()
    return probabilities


def answers(
    network: nn.Module, films: Source, chosen: Iterable[Places], prepare: Prepare, *, mixed: bool = True
) -> Iterator[torch.Tensor]:
    """Yield the logits of each batch of films, float32 (images, classes), on the CPU."""
    for grey, _ in films.batches(chosen):
        yield answer(network, prepare(grey), mixed=mixed)


@torch.inference_mode()
def answer(network: nn.Module, images: torch.Tensor, *, mixed: bool = True) -> torch.Tensor:
    """Return the logits in eval mode, on the CPU."""
    network.eval()
    return logits_of(network, images, mixed=mixed).cpu()


def logits_of(network: nn.Module, images: torch.Tensor, *, mixed: bool = True) -> torch.Tensor:
    """Return the logits in float32; the layers compute in bfloat16 on CUDA devices that can, if `mixed`."""
    fast = mixed and images.device.type == "cuda" and torch.cuda.is_bf16_supported()
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=fast):
        logits: torch.Tensor = network(images)
    return logits.float()
