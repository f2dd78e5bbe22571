"""What one start of alexnet does in its first updates: accuracy, and how far its answers to different films differ."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.prepared import Films
from stages.films.chain import Chain
from stages.films.frame import frame_of
from stages.films.operations import Brightness, Flip, Rotate
from stages.learning.batches import standardised
from stages.learning.networks import Initialisation, initialised, seeded
from stages.learning.online import OnlineSource

COPIES = 20
CPU = torch.device("cpu")
CLASSES = 3
LOOK_EVERY = 10  # updates between two looks at the validation films
ABOVE = 0.05  # how far above the majority's share a network has left the plateau: 2.8 standard errors of 790 films


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to start.

    Attributes:
        initialisation: of the weights.
        input: `raw`, grey levels from 0 to 1, or `standardised`, of mean 0 and deviation 1.
        optimizer: `adamw`, learning rate 0.0003, or `sgd`, 0.01 with Nesterov momentum 0.9; both constant.
        batch: images of an update.
    """

    initialisation: Initialisation
    input: str
    optimizer: str = "adamw"
    batch: int = 300

    @property
    def name(self) -> str:
        """How tables and plots call it."""
        start = f"{'He' if self.initialisation == 'he' else 'default'}, {self.input}"
        further = [
            *(["SGD"] if self.optimizer == "sgd" else []),
            *([f"batch {self.batch}"] if self.batch != 300 else []),
        ]
        return ", ".join([start, *further])


FIRST, OURS = Arm("default", "raw"), Arm("he", "standardised")
AT_300 = (FIRST, Arm("default", "standardised"), Arm("he", "raw"), OURS)
OTHERS = tuple(
    Arm(arm.initialisation, arm.input, optimizer, batch)
    for optimizer, batch in (("adamw", 35), ("sgd", 300))
    for arm in (FIRST, OURS)
)


@dataclass(slots=True)
class Run:
    """What one arm did with one seed.

    Attributes:
        accuracy: of each update's batch, before the update.
        loss: of each update's batch.
        looks: updates at which the validation films were scored; 0 is before the first.
        val_accuracy: at each look.
        val_spread: at each look, the logits' standard deviation over the validation films, averaged over classes.
        layers: before the first update, each layer's deviation over films as a share of its outputs' size.
        gradients: at the first update, the norm of the loss's gradient by the first layer's weights, by the last
            layer's, and by the last layer's biases.
    """

    arm: Arm
    seed: int
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    val_spread: list[float] = field(default_factory=list)
    layers: list[float] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def left(self, majority: float) -> int | None:
        """Return the first look at which the validation films' accuracy is ABOVE the majority's share, if any."""
        above = (look for look, share in zip(self.looks, self.val_accuracy, strict=True) if share >= majority + ABOVE)
        return next(above, None)


@dataclass(frozen=True, slots=True)
class Task:
    """What all runs share: the copies to learn from, the validation films, and the grey levels' statistics."""

    train: Films
    val: Films
    mean: float
    std: float

    def source(self) -> OnlineSource:
        """Return the films and their copies by the recipe of 2020."""
        operations = (Brightness(jitter=0.2), Rotate(degrees=15), Flip(probability=0.5))
        chain = Chain(operations, "black", "nearest", frame_of(self.train.images[0]), seed=0)
        images, labels = torch.from_numpy(self.train.images), torch.from_numpy(self.train.labels)
        return OnlineSource(images, labels, self.train.film_ids, chain=chain, copies=COPIES)

    def prepare(self, grey: torch.Tensor, arm: Arm) -> torch.Tensor:
        """Return grey levels as an arm's network takes them."""
        mean, std = (0.0, 1.0) if arm.input == "raw" else (self.mean, self.std)
        return standardised(grey, mean=mean, std=std, device=CPU)


def every_run(task: Task, arms: Sequence[Arm], *, seeds: int, updates: int, done: Path) -> Iterator[Run]:
    """Yield the runs that are done, then those that are not: each is written to the file as soon as it is."""
    runs = [_read(line) for line in done.read_text(encoding="utf-8").splitlines()] if done.exists() else []
    yield from runs
    known = {(run.arm, run.seed) for run in runs}
    for seed in range(seeds):  # seed by seed, so that a benchmark that is cut short compares all arms
        for arm in arms:
            if (arm, seed) not in known:
                run = train_once(task, arm, seed, updates)
                with done.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(run)) + "\n")
                yield run


def _read(line: str) -> Run:
    told = json.loads(line)
    return Run(**{**told, "arm": Arm(**told["arm"])})


def train_once(task: Task, arm: Arm, seed: int, updates: int) -> Run:
    """Return what an arm does with a seed, which decides the first weights and the order of the images."""
    run, started = Run(arm, seed), time.perf_counter()
    network = initialised("alexnet", frame_of(task.val.images[0]), CLASSES, how=arm.initialisation, seed=seed)
    network.to(memory_format=torch.channels_last)
    run.layers = spread_by_layer(network, task.prepare(torch.from_numpy(task.val.images), arm))
    optimizer = optimizer_of(arm, network)
    source = task.source()
    order = np.random.default_rng(seed).permutation(len(source))[: updates * arm.batch].reshape(updates, arm.batch)
    with seeded(seed):
        for update, (grey, labels) in enumerate(source.batches(order)):
            if update % LOOK_EVERY == 0:
                look(run, network, task, update)
            logits = network(task.prepare(grey, arm))
            loss = cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            run.gradients = run.gradients or gradient_norms(network)
            optimizer.step()
            run.accuracy.append(float((logits.argmax(1) == labels).float().mean()))
            run.loss.append(loss.item())
    look(run, network, task, updates)
    run.seconds = time.perf_counter() - started
    return run


def optimizer_of(arm: Arm, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of an arm, with the learning rate that the tool advises for it."""
    if arm.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=0.01)
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.0005)


def look(run: Run, network: nn.Module, task: Task, update: int) -> None:
    """Score the validation films, and note how far apart the network's answers to them lie."""
    with torch.no_grad():
        logits = network(task.prepare(torch.from_numpy(task.val.images), run.arm)).numpy()
    run.looks.append(update)
    run.val_accuracy.append(float((logits.argmax(1) == task.val.labels).mean()))
    run.val_spread.append(float(logits.std(axis=0).mean()))


def spread_by_layer(network: nn.Module, images: torch.Tensor) -> list[float]:
    """Return, for each convolution and linear layer, how much of what it says depends on the film.

    The standard deviation of each output over the films, and its size, both as root mean squares over outputs.
    """
    found: list[float] = []

    def note(_layer: nn.Module, _taken: Any, outputs: torch.Tensor) -> None:
        found.append(float((outputs.var(dim=0).mean() / outputs.square().mean()).sqrt()))

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return found


def gradient_norms(network: nn.Module) -> list[float]:
    """Return the norms of the gradient by the first weights, the last weights and the last biases."""
    gradients = [weights.grad for weights in network.parameters() if weights.grad is not None]
    return [float(gradients[place].norm()) for place in (0, -2, -1)]
