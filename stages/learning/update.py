"""One update of the weights: a batch's loss, its gradient, and a step down."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from stages.learning.prediction import Prepare, logits_of
from stages.learning.ranks import Ranks
from stages.learning.schedule import Schedule

Learned: TypeAlias = tuple[torch.Tensor, torch.Tensor]  # loss of each image, and how many were right


def optimizer_of(
    network: nn.Module, kind: Literal["adamw", "sgd"], weight_decay: float, momentum: float
) -> torch.optim.Optimizer:
    """Return the optimiser of the network's weights, one fused kernel; each update sets its learning rate."""
    weights = network.parameters()
    if kind == "sgd":
        return torch.optim.SGD(weights, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0, fused=True)
    return torch.optim.AdamW(weights, weight_decay=weight_decay, fused=True)


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of the weights over the last updates, each update's share falling off exponentially.

    Attributes:
        network: holds the mean; the statistics of batch norm are averaged too.
        decay: share of the mean that an update leaves.
    """

    network: nn.Module
    decay: float

    @classmethod
    def of(cls, network: nn.Module, decay: float) -> Average | None:
        """Return the mean of a network before its first update; None where none is wanted."""
        return cls(copy.deepcopy(network).requires_grad_(requires_grad=False), decay) if decay else None

    @torch.no_grad()
    def add(self, network: nn.Module, update: int) -> None:
        """Add the weights after an update, counted from 0; the first ones weigh more, as the mean knows little yet."""
        share = 1 - min(self.decay, (1 + update) / (10 + update))
        means, values = self.network.state_dict().values(), network.state_dict().values()
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)


@dataclass(slots=True, kw_only=True)
class Updater:
    """Takes steps, one per batch.

    Attributes:
        network: gets the weights; `joined` is the same one, its gradients taken over all processes.
        parts: a batch's gradient is added up over so many, each of which must fit into memory.
    """

    network: nn.Module
    joined: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    prepare: Prepare
    ranks: Ranks
    label_smoothing: float
    parts: int
    mixed: bool
    seed: int
    average: Average | None = None

    def __call__(self, update: int, grey: torch.Tensor, labels: torch.Tensor, images: int) -> Learned:
        """Take one step down the batch's loss; return the loss of each image and how many were right, on the device.

        Args:
            update: its number, from 0.
            grey: this process's part of the batch, uint8 (images, height, width).
            labels: int64, as many.
            images: of the whole batch, over all processes.
        """
        self._set_rates(update)
        # whatever a network draws, such as dropout, is keyed by the update: a run that goes on draws the same
        torch.manual_seed(_key(self.seed, update, self.ranks.rank))
        learned = self._learn(grey, labels, images)
        if self.average is not None:
            self.average.add(self.network, update)
        return learned

    def _learn(self, grey: torch.Tensor, labels: torch.Tensor, images: int) -> Learned:
        """Take the step, part by part."""
        self.network.train()
        self.optimizer.zero_grad()
        learned = []
        parts = list(zip(grey.tensor_split(self.parts), labels.tensor_split(self.parts), strict=True))
        if self.ranks.count == 1:  # processes must do as many parts each, be they empty
            parts = [part for part in parts if len(part[1])]
        for number, (some, classes) in enumerate(parts, 1):
            with self.ranks.unsent(self.joined, last=number == len(parts)):
                learned.append(self._backward(some, classes, images))
        self.optimizer.step()
        losses, hits = zip(*learned, strict=True)
        return torch.cat(losses), torch.stack(hits).sum()

    def _backward(self, grey: torch.Tensor, labels: torch.Tensor, images: int) -> Learned:
        """Add a part's gradient to that of its batch."""
        logits = logits_of(self.joined, self.prepare(grey), mixed=self.mixed)
        losses = cross_entropy(logits, labels, label_smoothing=self.label_smoothing, reduction="none")
        # the mean over all processes' gradients is taken later: each one's loss counts as often as there are
        (losses.sum() * (self.ranks.count / images)).backward()  # type: ignore[no-untyped-call]
        return losses.detach(), (logits.detach().argmax(1) == labels).sum()

    def _set_rates(self, update: int) -> None:
        momentum = self.schedule.momentum_at(update)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate_at(update)
            if momentum is not None and "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            elif momentum is not None:
                group["momentum"] = momentum


def _key(seed: int, update: int, rank: int) -> int:
    """Return a seed of torch's own generator that run, update and process decide."""
    words = np.random.Philox(key=np.array([seed, 0], np.uint64), counter=np.array([update, rank, 0, 1], np.uint64))
    return int(words.random_raw() >> np.uint64(1))
