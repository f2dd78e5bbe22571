"""The training loop, and prediction."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from stages.contract import StageError
from stages.learning.batches import ImageSet, batches, shuffled, standardised
from stages.learning.networks import seeded

Advance: TypeAlias = Callable[..., None]  # (images) or (images, text)
Prepare: TypeAlias = Callable[[torch.Tensor], torch.Tensor]  # grey levels to what the network takes

SCORING_BATCH = 64  # nothing is kept for a backward pass, and network A still fits into 4 GB
WARM_UP = 0.2  # share of the updates over which one_cycle raises the learning rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained; `stages.train.TrainParams` documents and checks each number."""

    epochs: int
    batch_size: int
    optimizer: Literal["adamw", "sgd"]
    learning_rate: float
    weight_decay: float
    momentum: float
    schedule: Literal["constant", "one_cycle"]
    label_smoothing: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """What a network learns from and is judged by: augmented images, their films, and other films."""

    augmented: ImageSet
    train: ImageSet
    val: ImageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One line of the training log. Shares and losses of `train_*` and `val_*` are taken in eval mode."""

    epoch: int
    updates: int
    learning_rate: float
    train_loss: float
    augmented_accuracy: float
    train_accuracy: float
    train_clean_loss: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What training left behind, beside the weights.

    Attributes:
        log: every epoch.
        best: the epoch whose weights the network has.
        train_s: seconds spent on updates, scoring left out.
    """

    log: tuple[Epoch, ...]
    best: Epoch
    train_s: float


def device_for(asked: str) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` asks for.

    Raises:
        StageError: where CUDA is asked for and there is none.
    """
    available = asked != "cpu" and torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise StageError(f"device cuda: torch {torch.__version__} finds no CUDA device here; use --device cpu, or auto")
    return torch.device("cuda" if available else "cpu")


def used(device: torch.device) -> dict[str, str | float | None]:
    """Return what ran: torch's version, the device's name, and the most CUDA memory held, if any."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "torch": torch.__version__,
        "peak_cuda_memory_mb": round(torch.cuda.max_memory_allocated(device) / 2**20, 1) if cuda else None,
    }


def fit(
    network: nn.Module,
    sets: Sets,
    recipe: Recipe,
    *,
    mean: float,
    std: float,
    device: torch.device,
    advance: Advance,
) -> Fitted:
    """Train the network and leave it with the weights of the epoch that is best on the validation films.

    Raises:
        StageError: where a loss is not a finite number.
    """
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = _Trainer(
        network=network,
        sets=sets,
        recipe=recipe,
        prepare=partial(standardised, mean=mean, std=std, device=device),
        optimizer=_optimizer(network, recipe),
        advance=advance,
    )
    log: list[Epoch] = []
    weights: dict[str, torch.Tensor] = {}
    with seeded(recipe.seed):
        for number in range(1, recipe.epochs + 1):
            log.append(trainer.epoch(number))
            if best_of(log) is log[-1]:
                weights = {name: values.to("cpu", copy=True) for name, values in network.state_dict().items()}
    network.load_state_dict(weights)
    return Fitted(log=tuple(log), best=best_of(log), train_s=trainer.train_s)


def best_of(log: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the highest accuracy on val; of equals the lower loss there, then the first.

    Nothing but val decides: the training films would choose the epoch that knows them by heart.
    """
    return min(log, key=lambda record: (-record.val_accuracy, record.val_loss, record.epoch))


def updates_per_epoch(images: int, batch_size: int) -> int:
    """Return how many batches the images make, the last one perhaps smaller."""
    return math.ceil(images / batch_size)


def rate_at(update: int, updates: int, recipe: Recipe) -> float:
    """Return the learning rate of an update, counted from 0: constant, or a rise and a cosine's fall."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    rising = max(1, round(WARM_UP * updates))
    if update < rising:
        return recipe.learning_rate * (update + 1) / rising
    return recipe.learning_rate * (1 + math.cos(math.pi * (update - rising) / (updates - rising))) / 2


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
    unlabelled = ImageSet(images, torch.zeros(len(images), dtype=torch.int64, device=images.device))
    prepare = partial(standardised, mean=mean, std=std, device=device)
    # an empty batch still has its columns, so that an empty split needs no special case
    parts = [part for part, _ in _scored(network, unlabelled, prepare, batch_size)]
    logits = torch.cat(parts) if parts else _answers(network, prepare(images))
    probabilities: NDArray[np.float32] = logits.softmax(dim=1).numpy()
    return probabilities


@dataclass(slots=True, kw_only=True)
class _Trainer:
    """What an epoch needs, and the clock over all epochs."""

    network: nn.Module
    sets: Sets
    recipe: Recipe
    prepare: Prepare
    optimizer: torch.optim.Optimizer
    advance: Advance
    beside: str = ""
    train_s: float = 0.0

    def epoch(self, number: int) -> Epoch:
        """Train for one epoch, score both sets of films, and return the log's line."""
        started = time.perf_counter()
        train_loss, augmented_accuracy = self._train(number)
        self.train_s += time.perf_counter() - started
        train_clean_loss, train_accuracy = self._score(self.sets.train, f"epoch {number}, training films")
        val_loss, val_accuracy = self._score(self.sets.val, f"epoch {number}, validation films")
        self.beside = f" val {100 * val_accuracy:.1f} %"
        updates = number * self._updates_per_epoch
        return Epoch(
            epoch=number,
            updates=updates,
            learning_rate=self._rate(updates - 1),
            train_loss=train_loss,
            augmented_accuracy=augmented_accuracy,
            train_accuracy=train_accuracy,
            train_clean_loss=train_clean_loss,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
        )

    def _train(self, number: int) -> tuple[float, float]:
        """Update the weights once per batch; return the running loss and accuracy."""
        self.network.train()
        images = self.sets.augmented
        order = shuffled(len(images), seed=self.recipe.seed, epoch=number)
        seen, loss_sum, hits = 0, 0.0, 0
        first = (number - 1) * self._updates_per_epoch
        for update, (grey, labels) in enumerate(batches(images, self.recipe.batch_size, order=order), first):
            loss, hit = self._update(update, grey, labels)
            _require_finite(loss, f"epoch {number}, update {update + 1}")
            seen += len(labels)
            loss_sum += loss * len(labels)
            hits += hit
            self.advance(len(labels), f"epoch {number}/{self.recipe.epochs} loss {loss_sum / seen:.3f}{self.beside}")
        return loss_sum / seen, hits / seen

    def _update(self, update: int, grey: torch.Tensor, labels: torch.Tensor) -> tuple[float, int]:
        """Take one step down the batch's loss; return the loss and how many images were right."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(update)
        logits = _logits(self.network, self.prepare(grey))
        labels = labels.to(logits.device)
        loss = cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item(), int((logits.argmax(1) == labels).sum())

    def _score(self, films: ImageSet, where: str) -> tuple[float, float]:
        """Return loss and accuracy on the films, in eval mode."""
        parts = []
        for part in _scored(self.network, films, self.prepare, SCORING_BATCH):
            parts.append(part)
            self.advance(len(part[0]))
        logits, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        loss = float(cross_entropy(logits, labels))
        _require_finite(loss, where)
        return loss, float((logits.argmax(1) == labels).double().mean())

    def _rate(self, update: int) -> float:
        return rate_at(update, self.recipe.epochs * self._updates_per_epoch, self.recipe)

    @property
    def _updates_per_epoch(self) -> int:
        return updates_per_epoch(len(self.sets.augmented), self.recipe.batch_size)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=rate,
            momentum=recipe.momentum,
            weight_decay=decay,
            nesterov=recipe.momentum > 0,
        )
    return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay, fused=True)


def _scored(
    network: nn.Module, films: ImageSet, prepare: Prepare, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield logits and labels of the films batch by batch, on the CPU."""
    for grey, labels in batches(films, batch_size):
        yield _answers(network, prepare(grey)), labels.cpu()


@torch.inference_mode()
def _answers(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the logits in eval mode, on the CPU."""
    network.eval()
    return _logits(network, images).cpu()


def _logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the logits in float32; on CUDA the layers compute in bfloat16 where the device can."""
    fast = images.device.type == "cuda" and torch.cuda.is_bf16_supported()
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=fast):
        logits: torch.Tensor = network(images)
    return logits.float()


def _require_finite(loss: float, where: str) -> None:
    if not math.isfinite(loss):
        raise StageError(f"{where}: the loss is {loss}; expected a finite number; try a lower learning_rate")
