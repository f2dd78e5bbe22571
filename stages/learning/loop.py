"""The training loop: epochs of updates, each scored on the films; it goes on where a killed run was."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from stages.contract import StageError
from stages.learning import devices
from stages.learning.batches import standardised
from stages.learning.networks import seeded
from stages.learning.order import Places, batches, epoch_order, in_order
from stages.learning.plan import Fitted, Recipe, Sets, Site
from stages.learning.prediction import SCORING_BATCH, answers
from stages.learning.progress import Epoch, Progress, Step
from stages.learning.saver import Saver, held_back
from stages.learning.schedule import Schedule, updates_per_epoch
from stages.learning.source import Source
from stages.learning.update import Average, Updater, optimizer_of
from stages.learning.weights import put

LOG_LINES = 1000  # of the log within epochs, at most
UNREAD = 64  # updates that a CUDA device may be ahead of the host, which waits for it when it reads a loss


def fit(network: nn.Module, sets: Sets, recipe: Recipe, site: Site, *, mean: float, std: float) -> Fitted:
    """Train the network and leave it with the weights of the epoch that is best on the validation films.

    Raises:
        StageError: where a loss is not a finite number; it names the batch.
    """
    network.to(site.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run(network, sets, recipe, site, mean=mean, std=std)
    with seeded(recipe.seed):
        went_on_from = run.resume()
        while not run.over:
            run.epoch()
    put(network, run.progress.best)
    log = tuple(run.progress.epochs)
    return Fitted(log=log, best=best_of(log), train_s=run.progress.train_s, went_on_from=went_on_from)


def best_of(log: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the highest accuracy on val; of equals the lower loss there, then the first.

    Nothing but val decides: the training films would choose the epoch that knows them by heart.
    """
    return min(log, key=lambda record: (-record.val_accuracy, record.val_loss, record.epoch))


class _Unread(NamedTuple):
    """A batch that the device has been given, and what will be read of it."""

    images: int
    share: Places
    losses: torch.Tensor
    hits: torch.Tensor


class _Run:
    """A run under way."""

    def __init__(self, network: nn.Module, sets: Sets, recipe: Recipe, site: Site, *, mean: float, std: float) -> None:
        self.sets, self.recipe, self.site = sets, recipe, site
        self.prepare = partial(standardised, mean=mean, std=std, device=site.device)
        self.per_epoch = updates_per_epoch(len(sets.augmented), recipe.batch_size)
        updates = recipe.epochs * self.per_epoch
        self.log_every = math.ceil(updates / LOG_LINES)
        self.unread = UNREAD if site.device.type == "cuda" else 1
        self.progress = Progress()
        self.saver = Saver(self._save, site.save_every_s)
        self.updater = Updater(
            network=network,
            joined=devices.ready(site.ranks.joined(network, site.device), site.device, compiled=site.compiled),
            optimizer=optimizer_of(network, recipe.optimizer, recipe.weight_decay, recipe.momentum),
            schedule=Schedule(
                shape=recipe.schedule, learning_rate=recipe.learning_rate, warm_up=recipe.warm_up, updates=updates
            ),
            prepare=self.prepare,
            ranks=site.ranks,
            label_smoothing=recipe.label_smoothing,
            parts=recipe.accumulation,
            mixed=recipe.mixed_precision,
            seed=recipe.seed,
            average=Average.of(network, recipe.ema_decay),
        )

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or the last `patience` of them were no better than the best."""
        log, patience = self.progress.epochs, self.recipe.patience
        waited = len(log) - best_of(log).epoch if log else 0
        return len(log) >= self.recipe.epochs or 0 < patience <= waited

    def resume(self) -> int | None:
        """Go on where a killed run was; return the number of its updates, or None where there was none."""
        found = self.site.found()
        self.site.ranks.summed([0.0])  # no process may save before all have read
        if found is None:
            return None
        progress = self.progress = found.restore(self.updater.network, self.updater.optimizer, self._average)
        scored = len(progress.epochs) * (len(self.sets.train) + len(self.sets.val))
        self.site.advance(scored + len(progress.epochs) * len(self.sets.augmented) + progress.seen)
        for step in progress.steps:
            self.site.log(step)
        for record in progress.epochs:
            self.site.log(record)
        return progress.updates

    def epoch(self) -> None:
        """Train for an epoch, or for what is left of it, and score both sets of films."""
        progress, number = self.progress, len(self.progress.epochs) + 1
        self._train(number)
        record = self._record(number)
        progress.epochs.append(record)
        self.site.log(record)
        if best_of(progress.epochs) is record:
            weights = self._judged.state_dict().items()
            progress.best = {name: values.to("cpu", copy=True) for name, values in weights}
        progress.seen, progress.loss, progress.hits = 0, 0.0, 0
        self.saver.now()

    def _train(self, number: int) -> None:
        """Update the weights once per batch."""
        recipe, progress, ranks = self.recipe, self.progress, self.site.ranks
        order = epoch_order(self.sets.shards, window=recipe.shuffle_window, seed=recipe.seed, epoch=number)
        whole = batches(order, recipe.batch_size, first=progress.updates - (number - 1) * self.per_epoch)
        shares = [ranks.share(batch) for batch in whole]
        unread: list[_Unread] = []
        since = time.perf_counter()
        with (
            closing(self.sets.augmented.batches(shares, epoch=number)) as shown,
            held_back(self.saver.now) as between_updates,
        ):
            for batch, share, (grey, labels) in zip(whole, shares, shown, strict=True):
                update = progress.updates + len(unread)
                unread.append(_Unread(len(batch), share, *self.updater(update, grey, labels, len(batch))))
                if len(unread) < self.unread and (update + 1) % self.log_every and batch is not whole[-1]:
                    continue
                self._read(unread, number)
                progress.train_s, since = progress.train_s + time.perf_counter() - since, time.perf_counter()
                between_updates()
                self.saver.perhaps()

    def _read(self, unread: list[_Unread], number: int) -> None:
        """Read the losses of the last updates, count them, and tell of them."""
        progress = self.progress
        losses = torch.cat([batch.losses for batch in unread]).tolist()
        self._require_finite(losses, unread, number)
        hits = float(torch.stack([batch.hits for batch in unread]).sum())
        images = sum(batch.images for batch in unread)
        loss, right = self.site.ranks.summed([math.fsum(losses), hits])
        progress.loss, progress.hits, progress.seen = (
            progress.loss + loss,
            progress.hits + int(right),
            progress.seen + images,
        )
        progress.since = (progress.since[0] + loss, progress.since[1] + images)
        progress.updates += len(unread)
        unread.clear()
        if progress.updates % self.log_every == 0:
            self._log_step(number)
        best = f" val {100 * progress.epochs[-1].val_accuracy:.1f} %" if progress.epochs else ""
        text = f"epoch {number}/{self.recipe.epochs} loss {progress.loss / progress.seen:.3f}{best}"
        self.site.advance(images, text)

    def _log_step(self, number: int) -> None:
        loss, images = self.progress.since
        rate = self.updater.schedule.rate_at(self.progress.updates - 1)
        step = Step(update=self.progress.updates, epoch=number, learning_rate=rate, loss=loss / images)
        self.progress.steps.append(step)
        self.progress.since = (0.0, 0)
        self.site.log(step)

    def _require_finite(self, losses: Sequence[float], unread: Sequence[_Unread], number: int) -> None:
        """Stop where a loss is no number, and say which images were shown."""
        if all(map(math.isfinite, losses)):
            return
        for offset, batch in enumerate(unread):
            of_batch = batch.losses.tolist()
            bad = [place for place, loss in zip(batch.share, of_batch, strict=True) if not math.isfinite(loss)]
            if bad:
                names = self.sets.names(np.array(bad[:3]))
                raise StageError(
                    f"epoch {number}, update {self.progress.updates + offset + 1}: the loss of {len(bad)} of "
                    f"{len(of_batch)} images is no finite number, such as that of {', '.join(names)}; "
                    "expected finite losses; try a lower learning_rate"
                )

    def _record(self, number: int) -> Epoch:
        """Score both sets of films and return the log's line."""
        train_clean_loss, train_accuracy = self._score(self.sets.train, f"epoch {number}, training films")
        val_loss, val_accuracy = self._score(self.sets.val, f"epoch {number}, validation films")
        progress = self.progress
        return Epoch(
            epoch=number,
            updates=progress.updates,
            learning_rate=self.updater.schedule.rate_at(progress.updates - 1),
            train_loss=progress.loss / progress.seen,
            augmented_accuracy=progress.hits / progress.seen,
            train_accuracy=train_accuracy,
            train_clean_loss=train_clean_loss,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
        )

    def _score(self, films: Source, where: str) -> tuple[float, float]:
        """Return loss and accuracy on the films, in eval mode; each process scores its part."""
        ranks = self.site.ranks
        mine = [ranks.share(batch) for batch in in_order(len(films), SCORING_BATCH)]
        parts = []
        for part in answers(self._judged, films, mine, self.prepare, mixed=self.recipe.mixed_precision):
            parts.append(ranks.gathered(part))
            self.site.advance(len(parts[-1]))
        logits = torch.cat(parts)
        loss = float(cross_entropy(logits, films.labels))
        if not math.isfinite(loss):
            raise StageError(f"{where}: the loss is {loss}; expected a finite number; try a lower learning_rate")
        return loss, float((logits.argmax(1) == films.labels).double().mean())

    def _save(self) -> None:
        if self.site.keeper is not None and self.site.ranks.first:
            self.site.keeper.save(self.progress, self.updater.network, self.updater.optimizer, self._average)

    @property
    def _average(self) -> nn.Module | None:
        return self.updater.average.network if self.updater.average is not None else None

    @property
    def _judged(self) -> nn.Module:
        """The network that is scored and kept."""
        return self._average or self.updater.network
