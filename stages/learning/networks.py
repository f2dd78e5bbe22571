"""The table of networks. Add one: a function of frame and number of classes, one line in NETWORKS, its name in OWN.

torchvision's classification networks follow by the names that `borrowed.py` gives them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from torch import nn

from stages.contract import StageError
from stages.films.frame import Frame
from stages.learning import borrowed
from stages.learning.names import OWN, unknown

Network: TypeAlias = Callable[[Frame, int], nn.Module]
Initialisation: TypeAlias = Literal["default", "he"]


def cifar(frame: Frame, classes: int) -> nn.Module:
    """Return network A of 2020, made for 32x32 images; its first linear layer alone follows the frame."""
    convolutions = nn.Sequential(
        *_rectified(1, 32),
        *_rectified(32, 64),
        nn.MaxPool2d(2),
        *_rectified(64, 128),
        *_rectified(128, 128),
        nn.MaxPool2d(2),
        *_rectified(128, 256),
        *_rectified(256, 256),
        nn.MaxPool2d(2),
    )
    return _with_perceptron("cifar", convolutions, frame, (1024, 512, classes))


def alexnet(frame: Frame, classes: int) -> nn.Module:
    """Return network B of 2020, AlexNet-like: 3840 features enter its first linear layer at 256x300."""
    convolutions = nn.Sequential(
        nn.Conv2d(1, 48, 11, stride=4, padding=5),
        nn.ReLU(),
        nn.Conv2d(48, 128, 5, stride=3, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *_rectified(128, 192),
        *_rectified(192, 192),
        nn.Conv2d(192, 128, 3, padding=1),
        nn.MaxPool2d(2),
    )
    return _with_perceptron("alexnet", convolutions, frame, (2048, 1024, classes))


def residual(_frame: Frame, classes: int) -> nn.Module:
    """Return a small residual network of our own, whose size does not depend on the frame."""
    convolutions = nn.Sequential(
        # the stem shrinks the film eightfold at once: what follows costs a CPU no more than network B
        *_normed(1, 48, 7, stride=4),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        Block(48, 48, stride=1),
        Block(48, 48, stride=1),
        Block(48, 96, stride=2),
        Block(96, 96, stride=1),
        Block(96, 192, stride=2),
        Block(192, 192, stride=1),
        nn.AdaptiveAvgPool2d(1),
    )
    return nn.Sequential(convolutions, nn.Flatten(), nn.Linear(192, classes))


NETWORKS: Mapping[str, Network] = {"alexnet": alexnet, "cifar": cifar, "residual": residual}


class Block(nn.Module):
    """Two normed convolutions beside a shortcut, which is a convolution only where the shape changes."""

    def __init__(self, inward: int, outward: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_normed(inward, outward, 3, stride=stride), nn.ReLU(), *_normed(outward, outward, 3, stride=1)
        )
        self.shortcut = nn.Sequential(*(_normed(inward, outward, 1, stride=stride) if inward != outward else ()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the rectified sum of both ways."""
        rectified: torch.Tensor = nn.functional.relu(self.body(images) + self.shortcut(images))
        return rectified


def blank(name: str, frame: Frame, classes: int) -> nn.Module:
    """Return a network of the table, or torchvision's, without memory for its weights: to be counted, or given weights.

    Raises:
        StageError: where there is no such network, or it cannot take the frame.
    """
    if borrowed.is_borrowed(name):
        with seeded(0):  # what torchvision draws on the way is nobody's
            return borrowed.blank(name, frame, classes)
    if name not in NETWORKS:
        raise StageError(unknown(name, OWN))
    with torch.device("meta"):
        return NETWORKS[name](frame, classes)


def initialised(name: str, frame: Frame, classes: int, *, how: Initialisation, seed: int) -> nn.Module:
    """Return a network with weights that the seed alone decides.

    Raises:
        StageError: as `blank` does.
    """
    network = blank(name, frame, classes)
    with seeded(seed):
        if not borrowed.is_borrowed(name):
            network = network.to_empty(device="cpu")
            initialise(network, how)
            return network
        network = borrowed.drawn(name, frame, classes)
        if how == "he" and not borrowed.is_transformer(name):
            initialise(network, "he")
    return network


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw from the seed; the caller's random state is as before afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def initialise(network: nn.Module, how: Initialisation) -> None:
    """Draw every weight of the network anew, from torch's generator.

    Args:
        network: gets the weights.
        how: `default` as PyTorch does; `he` keeps the signal's variance from layer to layer (He et al. 2015).
    """
    for layer in network.modules():
        reset = getattr(layer, "reset_parameters", None)
        if how == "he" and isinstance(layer, nn.Conv2d | nn.Linear):
            # fan_in: fan_out would divide the signal of the first layer (1 channel to 48) by 7
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif callable(reset):
            reset()


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers training can change."""
    return sum(weights.numel() for weights in network.parameters() if weights.requires_grad)


def _rectified(inward: int, outward: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inward, outward, 3, padding=1), nn.ReLU()


def _normed(inward: int, outward: int, size: int, *, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inward, outward, size, stride=stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(outward)


def _with_perceptron(name: str, convolutions: nn.Module, frame: Frame, widths: tuple[int, int, int]) -> nn.Module:
    """Return the convolutions, flattened, followed by three linear layers of these widths."""
    first, second, classes = widths
    layers = (
        nn.Linear(_flattened(name, convolutions, frame), first),
        nn.ReLU(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, classes),
    )
    return nn.Sequential(convolutions, nn.Flatten(), nn.Sequential(*layers))


def _flattened(name: str, convolutions: nn.Module, frame: Frame) -> int:
    """Return how many features the convolutions make of one image of the frame.

    Raises:
        StageError: where nothing of the image is left.
    """
    image = torch.empty(1, 1, frame.height, frame.width, device="meta")
    try:
        return int(copy.deepcopy(convolutions).to("meta")(image).numel())
    except RuntimeError as error:
        raise borrowed.too_small(name, frame, error) from error
