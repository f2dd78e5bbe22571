"""What a training run is made of: its recipe, its sets, where it takes place, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from stages.learning.order import Places
from stages.learning.progress import Epoch, Found, Keeper, Step
from stages.learning.ranks import Ranks
from stages.learning.source import Source

ALONE = Ranks()
Advance: TypeAlias = Callable[..., None]  # (images) or (images, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained; `stages.train.TrainParams` documents and checks each number."""

    epochs: int
    batch_size: int
    optimizer: Literal["adamw", "sgd"]
    learning_rate: float
    weight_decay: float
    momentum: float
    schedule: Literal["constant", "cosine", "one_cycle"]
    warm_up: float
    label_smoothing: float
    ema_decay: float
    accumulation: int
    patience: int
    shuffle_window: int
    mixed_precision: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """What a network learns from and is judged by.

    Attributes:
        augmented: the images to learn from.
        train: their films.
        val: other films.
        shards: a number per augmented image, equal where two lie in one file.
        names: of augmented images, by their places.
    """

    augmented: Source
    train: Source
    val: Source
    shards: NDArray[np.int64]
    names: Callable[[Places], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a run takes place, and who is told of it. Nothing in here changes the weights beyond rounding.

    Attributes:
        device: computes.
        ranks: the processes that train together.
        keeper: keeps the state; None where none is wanted.
        found: returns the state of a stopped run that this one goes on from; None where there is none.
        save_every_s: seconds between two states.
        compiled: whether the network is compiled for its steps.
        advance: is told of images, with a text.
        log: is told of every line of the logs.
    """

    device: torch.device
    ranks: Ranks = ALONE
    keeper: Keeper | None = None
    found: Callable[[], Found | None] = lambda: None
    save_every_s: float = 60.0
    compiled: bool = False
    advance: Advance = lambda *_: None
    log: Callable[[Epoch | Step], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What training left behind, beside the weights.

    Attributes:
        log: every epoch.
        best: the epoch whose weights the network has.
        train_s: seconds spent on updates, scoring left out.
        went_on_from: the updates that a killed run had done; None where training began anew.
    """

    log: tuple[Epoch, ...]
    best: Epoch
    train_s: float
    went_on_from: int | None = None
