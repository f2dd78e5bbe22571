"""The learning rate of each update, and the momentum that goes against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

TUNED_FOR = 35  # images per update that the default learning rate was chosen with: 2020's batch
HIGH, LOW = 0.95, 0.85  # momentum of one_cycle, Smith 2018, "A disciplined approach to neural network hyper-parameters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How the learning rate goes over all updates of a run.

    Attributes:
        shape: `constant`: it stays; `cosine`: it falls to 0; `one_cycle`: so too, and the momentum goes against it.
        learning_rate: the highest.
        warm_up: share of the updates over which it rises to that first.
        updates: of the whole run.
    """

    shape: Literal["constant", "cosine", "one_cycle"]
    learning_rate: float
    warm_up: float
    updates: int

    @property
    def rising(self) -> int:
        """How many updates the rate rises over."""
        return round(self.warm_up * self.updates)

    def rate_at(self, update: int) -> float:
        """Return the learning rate of an update, counted from 0; it is never 0."""
        if update < self.rising:
            return self.learning_rate * (update + 1) / self.rising
        if self.shape == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * self._fallen(update))) / 2

    def momentum_at(self, update: int) -> float | None:
        """Return the momentum of an update of one_cycle, 0.95 where the rate is lowest; None where it stays."""
        if self.shape != "one_cycle":
            return None
        return HIGH - (HIGH - LOW) * self.rate_at(update) / self.learning_rate

    def _fallen(self, update: int) -> float:
        return (update - self.rising) / (self.updates - self.rising)


def scaled_rate(learning_rate: float, batch_size: int, *, how: Literal["none", "linear", "sqrt"]) -> float:
    """Return the learning rate for a batch, given that for 35 images.

    linear: Goyal et al. 2017 for gradient descent; sqrt: Krizhevsky 2014, and Malladi et al. 2022 for Adam.
    """
    power = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}[how]
    return learning_rate * math.pow(batch_size / TUNED_FOR, power)


def updates_per_epoch(images: int, batch_size: int) -> int:
    """Return how many batches the images make, the last one perhaps smaller."""
    return math.ceil(images / batch_size)
